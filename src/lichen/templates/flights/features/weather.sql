/*
entity: origin
event_time: observed_at
known_at: observed_at + interval 20 minute
max_age: 6 hours
*/
select
    origin,
    observed_at,
    temp,
    dewp,
    humid,
    wind_dir,
    wind_speed,
    wind_gust,
    precip,
    pressure,
    visib
from weather_hourly
