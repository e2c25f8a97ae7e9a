/*
key: id
entities: [shop]
predict_at: sold_at
label: amount > 100
known_at: sold_at + interval 1 day
*/
select id, shop, sold_at, amount
from clean
