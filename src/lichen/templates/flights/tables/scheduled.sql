/*
key: flight_id
note: The timetable, with the planned time from gate to gate.
*/
select
    flight_id,
    carrier,
    flight,
    origin,
    dest,
    tailnum,
    scheduled_departure,
    scheduled_arrival,
    date_diff('minute', scheduled_departure, scheduled_arrival) as scheduled_minutes,
    distance,
    published_at
from schedule
