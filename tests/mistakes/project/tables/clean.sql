/*
key: id
*/
select
    id,
    sold_at,
    upper(shop) as shop,
    amount
from sales
where amount < 500
