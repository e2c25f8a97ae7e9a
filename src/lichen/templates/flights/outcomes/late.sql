/*
key: flight_id
entities: [origin, tailnum, carrier, dest]
predict_at: scheduled_departure - interval 2 hour
label: arrival_delay > 15
known_at: landed_at
*/
select s.*, a.arrival_delay, a.landed_at
from scheduled s
left join landed a using (flight_id)
