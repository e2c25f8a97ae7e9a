/*
key: flight_id
note: Flights that have landed where they were going.
*/
select flight_id, carrier, dest, landed_at, arrival_delay, air_time
from arrivals
