/*
entity: origin
event_time: departed_at
known_at: departed_at
window: [2 hours, 7 days]
*/
select
    avg(departure_delay) as delay,
    avg(case when departure_delay > 15 then 1.0 else 0.0 end) as late,
    count(*) as departures
from departed
