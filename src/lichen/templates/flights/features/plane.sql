/*
entity: tailnum
event_time: built_at
known_at: built_at
*/
select tailnum, built_at, year, manufacturer, engines, seats from aircraft
