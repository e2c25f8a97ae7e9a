/*
key: [origin, observed_at]
note: >
  Reports in the units in which they came: °F, percent, miles per hour, inches, millibars, miles.
  Without gusts the strongest wind is the wind itself. Reports with an impossible value are not
  here: the contract of the source has them in quarantine.
*/
select
    origin,
    observed_at,
    temp,
    dewp,
    humid,
    wind_dir,
    wind_speed,
    coalesce(wind_gust, wind_speed) as wind_gust,
    precip,
    pressure,
    visib
from weather
