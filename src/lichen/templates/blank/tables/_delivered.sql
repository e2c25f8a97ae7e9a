/*
# A table: rows made by one SELECT over sources and other tables. Settings stand in this comment.
key: order_id
*/
select orders.order_id, shop, km, placed_at, delivered_at, minutes
from orders join deliveries using (order_id)
