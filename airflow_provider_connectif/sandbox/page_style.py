"""The page's style sheet; in a module instead of a file beside it, so that no packaging rule leaves it out."""

STYLE = """
:root{--back:#f6f7f9;--card:#fff;--line:#e1e5ea;--text:#1c2530;--quiet:#5a6675;--track:#e9edf1;
--good:#1f8a5b;--refused:#b06a00;--failed:#c0362c;--other:#4a6fa5}
@media (prefers-color-scheme:dark){
:root{--back:#12161b;--card:#1a2028;--line:#2b333d;--text:#e6eaef;--quiet:#9aa7b5;--track:#28303a;
--good:#43b883;--refused:#e0a13c;--failed:#ec6a5f;--other:#7fa5dc}
}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
header,main{max-width:70rem;margin:0 auto;padding:1.25rem}
header{padding-bottom:0}
h1{margin:0;font-size:1.4rem}
h2{margin:0 0 .5rem;font-size:.95rem;font-weight:600;color:var(--quiet)}
p{margin:0 0 .5rem;color:var(--quiet)}
main{display:grid;grid-template-columns:repeat(auto-fit,minmax(18rem,1fr));gap:1rem}
section{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:1rem;min-width:0}
.contacts,.imports{grid-column:1/-1;overflow-x:auto}
.figure{font-size:1.9rem;font-weight:600;line-height:1.2;color:var(--text)}
.figure small{font-size:.95rem;font-weight:400;color:var(--quiet)}
.bar{height:.6rem;border-radius:.3rem;background:var(--track);overflow:hidden;margin:.2rem 0 .5rem}
.bar i{display:block;height:100%;border-radius:.3rem;background:var(--other)}
.good i{background:var(--good)}
.refused i{background:var(--refused)}
.failed i{background:var(--failed)}
table{border-collapse:collapse;width:100%}
th,td{padding:.35rem .75rem .35rem 0;text-align:left;vertical-align:top}
thead th{font-size:.8rem;font-weight:600;color:var(--quiet)}
tbody tr{border-top:1px solid var(--line)}
tbody th{font-weight:600;overflow-wrap:anywhere}
.contacts tbody th{min-width:11rem}
.number,time{font-variant-numeric:tabular-nums}
.wide{width:65%}
.wide .bar{margin:.4rem 0 0}
dl{display:flex;flex-wrap:wrap;gap:.25rem .5rem;margin:0}
dl div{display:flex;gap:.35rem;padding:0 .45rem;background:var(--back);border:1px solid var(--line);
border-radius:.35rem}
dt{color:var(--quiet)}
dd{margin:0;overflow-wrap:anywhere}
"""
