"""Which country and network a message went to, by what Plivo says of it. Pure.

A network is its MCC and MNC, `310-260`. Source of the table: ITU-T E.212 (mobile country codes) and
E.164 (calling codes, with area codes where countries share one); names of ISO 3166-1, shortened.
As of November 2025. Territories that share all of their codes stand under the country
whose codes they are.
"""

from __future__ import annotations

import re

_COUNTRIES = """
AD Andorra|213|376
AE United Arab Emirates|424 430 431|971
AF Afghanistan|412|93
AG Antigua and Barbuda|344|1268
AI Anguilla|365|1264
AL Albania|276|355
AM Armenia|283|374
AO Angola|631|244
AR Argentina|722|54
AS American Samoa|544|1684
AT Austria|232|43
AU Australia|505|61
AW Aruba|363|297
AZ Azerbaijan|400|994
BA Bosnia and Herzegovina|218|387
BB Barbados|342|1246
BD Bangladesh|470|880
BE Belgium|206|32
BF Burkina Faso|613|226
BG Bulgaria|284|359
BH Bahrain|426|973
BI Burundi|642|257
BJ Benin|616|229
BM Bermuda|350|1441
BN Brunei|528|673
BO Bolivia|736|591
BR Brazil|724|55
BS Bahamas|364|1242
BT Bhutan|402|975
BW Botswana|652|267
BY Belarus|257|375
BZ Belize|702|501
CA Canada|302|1204 1226 1236 1249 1250 1257 1263 1289 1306 1343 1354 1365 1367 1368 1382
CA Canada||1387 1403 1416 1418 1428 1431 1437 1438 1450 1460 1468 1474 1506 1514 1519
CA Canada||1537 1548 1557 1568 1579 1581 1584 1587 1604 1613 1639 1647 1672 1683 1705
CA Canada||1709 1742 1753 1778 1780 1782 1807 1819 1825 1867 1873 1879 1902 1905 1942
CD Congo (Kinshasa)|630|243
CF Central African Republic|623|236
CG Congo (Brazzaville)|629|242
CH Switzerland|228|41
CI Ivory Coast|612|225
CK Cook Islands|548|682
CL Chile|730|56
CM Cameroon|624|237
CN China|460 461|86
CO Colombia|732|57
CR Costa Rica|712|506
CU Cuba|368|53
CV Cape Verde|625|238
CW Curaçao|362|599
CY Cyprus|280|357
CZ Czechia|230|420
DE Germany|262|49
DJ Djibouti|638|253
DK Denmark|238|45
DM Dominica|366|1767
DO Dominican Republic|370|1809 1829 1849
DZ Algeria|603|213
EC Ecuador|740|593
EE Estonia|248|372
EG Egypt|602|20
ER Eritrea|657|291
ES Spain|214|34
ET Ethiopia|636|251
FI Finland|244|358
FJ Fiji|542|679
FK Falkland Islands|750|500
FM Micronesia|550|691
FO Faroe Islands|288|298
FR France|208|33
GA Gabon|628|241
GB United Kingdom|234 235|44
GD Grenada|352|1473
GE Georgia|282|995
GF French Guiana|742|594
GH Ghana|620|233
GI Gibraltar|266|350
GL Greenland|290|299
GM Gambia|607|220
GN Guinea|611|224
GP Guadeloupe|340|590
GQ Equatorial Guinea|627|240
GR Greece|202|30
GT Guatemala|704|502
GU Guam|535|1671
GW Guinea-Bissau|632|245
GY Guyana|738|592
HK Hong Kong|454|852
HN Honduras|708|504
HR Croatia|219|385
HT Haiti|372|509
HU Hungary|216|36
ID Indonesia|510|62
IE Ireland|272|353
IL Israel|425|972
IN India|404 405 406|91
IQ Iraq|418|964
IR Iran|432|98
IS Iceland|274|354
IT Italy|222|39
JM Jamaica|338|1876 1658
JO Jordan|416|962
JP Japan|440 441|81
KE Kenya|639|254
KG Kyrgyzstan|437|996
KH Cambodia|456|855
KI Kiribati|545|686
KM Comoros|654|269
KN Saint Kitts and Nevis|356|1869
KP North Korea|467|850
KR South Korea|450|82
KW Kuwait|419|965
KY Cayman Islands|346|1345
KZ Kazakhstan|401|76 77
LA Laos|457|856
LB Lebanon|415|961
LC Saint Lucia|358|1758
LI Liechtenstein|295|423
LK Sri Lanka|413|94
LR Liberia|618|231
LS Lesotho|651|266
LT Lithuania|246|370
LU Luxembourg|270|352
LV Latvia|247|371
LY Libya|606|218
MA Morocco|604|212
MC Monaco|212|377
MD Moldova|259|373
ME Montenegro|297|382
MG Madagascar|646|261
MH Marshall Islands|551|692
MK North Macedonia|294|389
ML Mali|610|223
MM Myanmar|414|95
MN Mongolia|428|976
MO Macao|455|853
MQ Martinique||596
MR Mauritania|609|222
MS Montserrat|354|1664
MT Malta|278|356
MU Mauritius|617|230
MV Maldives|472|960
MW Malawi|650|265
MX Mexico|334|52
MY Malaysia|502|60
MZ Mozambique|643|258
NA Namibia|649|264
NC New Caledonia|546|687
NE Niger|614|227
NG Nigeria|621|234
NI Nicaragua|710|505
NL Netherlands|204|31
NO Norway|242|47
NP Nepal|429|977
NR Nauru|536|674
NU Niue|555|683
NZ New Zealand|530|64
OM Oman|422|968
PA Panama|714|507
PE Peru|716|51
PF French Polynesia|547|689
PG Papua New Guinea|537|675
PH Philippines|515|63
PK Pakistan|410|92
PL Poland|260|48
PM Saint Pierre and Miquelon|308|508
PR Puerto Rico|330|1787 1939
PS Palestine||970
PT Portugal|268|351
PW Palau|552|680
PY Paraguay|744|595
QA Qatar|427|974
RE Réunion|647|262
RO Romania|226|40
RS Serbia|220|381
RU Russia|250|7
RW Rwanda|635|250
SA Saudi Arabia|420|966
SB Solomon Islands|540|677
SC Seychelles|633|248
SD Sudan|634|249
SE Sweden|240|46
SG Singapore|525|65
SI Slovenia|293|386
SK Slovakia|231|421
SL Sierra Leone|619|232
SM San Marino|292|378
SN Senegal|608|221
SO Somalia|637|252
SR Suriname|746|597
SS South Sudan|659|211
ST São Tomé and Príncipe|626|239
SV El Salvador|706|503
SX Sint Maarten||1721
SY Syria|417|963
SZ Eswatini|653|268
TC Turks and Caicos Islands|376|1649
TD Chad|622|235
TG Togo|615|228
TH Thailand|520|66
TJ Tajikistan|436|992
TL Timor-Leste|514|670
TM Turkmenistan|438|993
TN Tunisia|605|216
TO Tonga|539|676
TR Türkiye|286|90
TT Trinidad and Tobago|374|1868
TV Tuvalu|553|688
TW Taiwan|466|886
TZ Tanzania|640|255
UA Ukraine|255|380
UG Uganda|641|256
US United States|310 311 312 313 314 315 316|1
UY Uruguay|748|598
UZ Uzbekistan|434|998
VC Saint Vincent and the Grenadines|360|1784
VE Venezuela|734|58
VG British Virgin Islands|348|1284
VI United States Virgin Islands|332|1340
VN Vietnam|452|84
VU Vanuatu|541|678
WF Wallis and Futuna|543|681
WS Samoa|549|685
XK Kosovo|221|383
YE Yemen|421|967
ZA South Africa|655|27
ZM Zambia|645|260
ZW Zimbabwe|648|263
"""

_ROWS = [line.split("|") for line in _COUNTRIES.strip().splitlines()]
_NAMES = {head[:2]: head[3:] for head, _, _ in _ROWS}
_BY_MCC = {mcc: head[:2] for head, mccs, _ in _ROWS for mcc in mccs.split()}
_BY_CALLING_CODE = {code: head[:2] for head, _, codes in _ROWS for code in codes.split()}

_NETWORKS = {
    "204-04": "Vodafone",
    "204-08": "KPN",
    "208-01": "Orange",
    "208-10": "SFR",
    "208-15": "Free",
    "208-20": "Bouygues",
    "214-01": "Vodafone",
    "214-03": "Orange",
    "214-07": "Movistar",
    "222-01": "TIM",
    "222-10": "Vodafone",
    "222-88": "WindTre",
    "234-10": "O2",
    "234-15": "Vodafone",
    "234-20": "Three",
    "234-30": "EE",
    "262-01": "Telekom",
    "262-02": "Vodafone",
    "262-03": "O2",
    "302-220": "Telus",
    "302-610": "Bell",
    "302-720": "Rogers",
    "310-260": "T-Mobile",
    "310-410": "AT&T",
    "311-480": "Verizon",
    "505-01": "Telstra",
    "505-02": "Optus",
    "505-03": "Vodafone",
}
"""Of some large ones. Where an MNC is written with a 0 too many (`010`), that is left out first."""

_CODE = re.compile(r"[0-9]{3}", re.ASCII)


def network_of(mcc: str, mnc: str) -> str | None:
    """`310-260`, or `310` where the MNC is not told; None if these are no codes."""
    mcc, mnc = mcc.strip(), mnc.strip()
    if not _CODE.fullmatch(mcc) or mcc == "000":
        return None
    return f"{mcc}-{mnc}" if re.fullmatch(r"[0-9]{1,3}", mnc, re.ASCII) else mcc


def country_of(network: str | None, number: str | None) -> str | None:
    """The ISO 3166 code of a network's country, else of a number's; None if neither says one."""
    if network is not None and network[:3] in _BY_MCC:
        return _BY_MCC[network[:3]]
    digits = (number or "").removeprefix("+")
    if not 8 <= len(digits) <= 15 or not (digits.isascii() and digits.isdecimal()):
        return None  # a short code, or a sender's name
    found = (_BY_CALLING_CODE.get(digits[:length]) for length in (4, 3, 2, 1))
    return next(filter(None, found), None)


def country_name(country: str) -> str:
    """In English; the code itself where it is not in the table."""
    return _NAMES.get(country, country)


def network_name(network: str) -> str:
    """`T-Mobile (310-260)`, or the codes alone."""
    mcc, _, mnc = network.partition("-")
    name = _NETWORKS.get(network) or _NETWORKS.get(f"{mcc}-{mnc.removeprefix('0')}")
    return f"{name} ({network})" if name else network
