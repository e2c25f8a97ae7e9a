/*
at: request
note: >
  What the timetable says about the flight, in New York's own time: people, not the sun, make the
  evening peak.
*/
select
    hour(scheduled_departure at time zone 'America/New_York') as hour,
    isodow(scheduled_departure at time zone 'America/New_York') as weekday,
    month(scheduled_departure at time zone 'America/New_York') as month,
    carrier,
    origin,
    dest,
    distance,
    scheduled_minutes
from request
