/*
# Features: what is known about an entity at the moment of a question. Here over windows of time
# that end there; without `window` the newest row answers.
entity: shop
event_time: delivered_at
window: [3 hours, 1 day]
*/
select avg(minutes) as minutes, count(*) as deliveries from delivered
