/*
# An outcome: which rows are asked about, when, what turned out, and when that became known.
# What `label` and `known_at` read is never seen by a model.
key: order_id
entities: [shop]
predict_at: placed_at
label: minutes > 45
known_at: delivered_at
*/
select orders.*, minutes, delivered_at from orders left join deliveries using (order_id)
