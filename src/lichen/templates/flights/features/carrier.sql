/*
entity: carrier
event_time: landed_at
known_at: landed_at
window: [1 day, 7 days]
*/
select
    avg(arrival_delay) as delay,
    avg(case when arrival_delay > 15 then 1.0 else 0.0 end) as late,
    count(*) as arrivals
from landed
