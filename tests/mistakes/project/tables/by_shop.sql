/* key: shop */
select shop, sum(amount) as total
from clean
group by shop
