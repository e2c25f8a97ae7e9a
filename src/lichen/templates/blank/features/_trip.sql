/*
# These come with the question itself.
at: request
*/
select km, hour(placed_at) as hour from request
