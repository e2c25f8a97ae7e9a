/*
entity: shop
event_time: sold_at
known_at: sold_at
window: [2 hours, 7 days]
*/
select sum(amount) as amount, count(*) as sales
from clean
