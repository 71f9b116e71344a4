"""Common English that the pocket model has one token a word for, so that prompts in plain English stay short.

The first 160 words have a capitalised form too. Written by hand; no corpus stands behind it.
"""

from __future__ import annotations

WORDS = tuple(
    """
    the a an as at be by do for from how if in is it its let of on or read so that then this to try use we what when
    where which while who why with you your after all and any are before both can each consider compare connect
    concentrate describe examine explain find focus follow give imagine keep learn link look make mind note observe
    pay picture question recall reflect relate remember rephrase restate see study summarise summarize take tell
    think turn understand watch write analyze analyse ask about answer begin break build carefully check define
    discover draw evaluate every explore form go here identify interpret list main memorize memorise my no not now
    open organize organise our outline please practice predict put review say search set show some start step
    stop suppose teach test there they visualize visualise work contrast critically deeply engage gather judge
    simplify discuss draft evaluate adopt approach apply assess assume seek spot state trace
    able across again against also always among another attention away back background bad basic because been being
    belief best better between beyond big bit body both brief but case cause central chain challenge change clear
    close closely come common complete complex concept concepts conclusion conclusions consequence content context
    could critical day deep detail detailed details did differ difference different does doing done down during
    early easy effect else end engaging enough even evidence ever exactly example examples experience experiences
    fact facts far few first formed friend full future general goal good got great ground had hand hard has have
    having he her high him his history idea ideas image images implication implications important improve inference
    information inside insight insights instead into just key kind knowing knowledge known language large last later
    lead learning least left lesson less life light like line linked little logic logical long made many matter
    may me mean meaning meanings memory men mental method might mistake model moment more most much must name names
    near need never new next nothing number often old once one only order other others out over own page paragraph
    part parts passage past pattern patterns people perspective piece place plan point points possible power
    practical premise present principle principles prior problem process purpose questions quickly quite rather
    reader reading real really reason reasoning reasons relation relations relationship relationships relevant
    remembering result right role room rule rules said same says second sense sentence sentences several she short
    should side similar simple since situation situations skill small something sort source statement statements
    steps still story strong structure student subject such sure system task teacher term terms text texts than
    their them themes themselves these thing things thinking those thought through time today together too topic
    true truth two under understanding until up upon us useful using usual value very view want was way ways well
    were whether whole will within without word words world would wrong year yes yet young yourself
    actively assumption assumptions bias clarity core creative curious discovery effectively evaluation false focused
    following given hidden instruction knowledge material materials mastery new objective previous progress real
    reflecting scenario scenarios summary underlying week worth
    """.split()  # noqa: SIM905
)
WORDS = tuple(dict.fromkeys(WORDS))

PIECES = tuple(
    """
    th he in er an re on at en nd ti es or te of ed is it al ar st nt ng le se ou ing ion ent tion ment ness able ly ic
    al ive ous ful ity ers est ate ure ance ence ight ough ss ll ee oo ch sh qu ck wh ph
    """.split()  # noqa: SIM905
)
"""Common pieces of other words."""
