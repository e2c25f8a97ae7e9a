/*
key: flight_id
note: Flights with what is known of the aircraft and the airline.
*/
select f.flight_id, f.scheduled_departure, f.origin, f.dest, c.name as airline, p.seats, p.year
from flights f
left join carriers c using (carrier)
left join planes p using (tailnum)
