/*
key: tailnum
note: >
  The register without what cannot be the aircraft that flew (a Cessna, a helicopter, a DC-7), one
  spelling per manufacturer, and no seats where the register is wrong about them.
*/
select
    tailnum,
    make_timestamptz(coalesce(year, 1950), 1, 1, 0, 0, 0) as built_at,
    year,
    case
        when manufacturer like 'AIRBUS%' then 'AIRBUS'
        when manufacturer like 'MCDONNELL DOUGLAS%' then 'MCDONNELL DOUGLAS'
        when manufacturer like 'BOMBARDIER%' or manufacturer like 'CANADAIR%' then 'BOMBARDIER'
        else manufacturer
    end as manufacturer,
    case when model like 'A330%' then 2 else engines end as engines,
    case when seats > 20 then seats end as seats
from planes
where engine <> 'Reciprocating' and (seats >= 30 or model like 'ERJ 190%')
