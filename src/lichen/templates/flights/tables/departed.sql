/*
key: flight_id
note: Flights that have left, whether or not they arrive.
*/
select flight_id, origin, dest, carrier, tailnum, departed_at, departure_delay
from departures
