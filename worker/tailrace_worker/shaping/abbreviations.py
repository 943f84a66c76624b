"""Abbreviations after which a sentence goes on, although a full stop and then a capital or a number follow.

Single letters and dotted abbreviations (`U.S.`, `e.g.`, `Ph.D.`) need no entry. Neither do abbreviations that only come
before small letters. An entry in small letters counts in capitals too. An entry with a capital counts only as it is
written, because without the capital it is another word, at least in another language (`Sen.`, `Mar.`, `Mich.`).
"""

from typing import Final

_TITLES: Final = """
    mr mrs ms mx messrs dr drs prof st ste mt mts ft Rev Hon Fr Sr sr jr esq msgr
    Gen Col Sen Rep gov pres sgt lt capt cmdr cdr maj cpl pvt adm supt Insp Amb atty
"""
_COMPANIES: Final = "inc ltd co corp bros assn dept univ inst natl intl govt mfg"
_PLACES: Final = """
    ave blvd hwy Rd Sq bldg
    Ala Ariz Calif Colo Conn Ind Kan Ky Mich Minn Neb Nev Okla Penn Tenn Tex Wash Wis Wyo
"""
_TIMES: Final = "Jan Feb Mar Apr Jun Jul Aug Sept Sep Oct Nov Dec Mon Tue Tues Wed Thu Thur Thurs Fri hrs"
_REFERENCES: Final = "Fig Figs eq eqs Vol vols pp ed eds cf vs etc al viz ca incl excl esp approx misc ibid nos tel ext"
_GERMAN: Final = """
    nr Str Abs Abb bd Aufl Hrsg vgl bzw usw ggf evtl inkl exkl zzgl bspw sog geb gest Dipl Ing hl mio mrd jh jhd Chr kap
"""
_ROMANCE: Final = """
    MM mme mmes mlle mlles av \u00e9d r\u00e9f t\u00e9l boul cie janv f\u00e9vr juil d\u00e9c
    sra srta sres dra ud uds vd p\u00e1g p\u00e1gs n\u00fam avda aprox lic gral exmo sig sigg dott avv pag ecc
"""
_DUTCH: Final = "bijv dhr mevr enz blz"
_SLAVIC: Final = "np itd itp ul гг проф ул пр др стр тыс млн млрд руб напр гл"  # noqa: RUF001

ABBREVIATIONS: Final = frozenset(
    f"{_TITLES} {_COMPANIES} {_PLACES} {_TIMES} {_REFERENCES} {_GERMAN} {_ROMANCE} {_DUTCH} {_SLAVIC}".split()
)

_NUMBERED: Final = """
    no n\u00b0 n\u00ba ch chap sec secs art app pt pts fig figs vol est min max op para par Sat Sun wk ref ver tab rs
    рис табл см
"""
BEFORE_NUMBERS: Final = frozenset(_NUMBERED.split())
"""Words that are abbreviations only before a number: `No. 5`, but `No. I do not.`"""
