/*
key: tailnum
note: How long mechanics worked on each aircraft; the work is a nested document.
*/
select tailnum, sum(work.hours) as hours, count(*) as notes from maintenance group by tailnum
