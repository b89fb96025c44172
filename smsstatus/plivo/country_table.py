"""Made by tools/make_countries.py; not to be edited.

Sources: mobile country codes and networks from mcc-mnc-list of 2023-04-04
(https://github.com/pbakondy/mcc-mnc-list), calling codes and names of countries from
phonenumbers 9.0.19 (Google's libphonenumber).
"""

COUNTRIES = """
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
CA Canada|302|1204 1226 1236 1249 1250 1257 1263 1289 1306 1343 1354 1365 1367 1368 1382 1403 1416
CA Canada||1418 1428 1431 1437 1438 1450 1468 1474 1506 1514 1519 1548 1579 1581 1584 1587 1600
CA Canada||1604 1613 1622 1633 1639 1647 1672 1683 1705 1709 1742 1753 1778 1780 1782 1807 1819
CA Canada||1825 1867 1873 1879 1902 1905 1942
CD Congo (Kinshasa)|630|243
CF Central African Republic|623|236
CG Congo (Brazzaville)|629|242
CH Switzerland|228|41
CI Côte d'Ivoire|612|225
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
GE Georgia|282 289|995
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
IO British Indian Ocean Territory||246
IQ Iraq|418|964
IR Iran|432|98
IS Iceland|274|354
IT Italy|222|39
JM Jamaica|338|1658 1876
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
MP Northern Mariana Islands||1670
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
NF Norfolk Island||672
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
RE Reunion|647|262
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
SH Saint Helena|658|290
SI Slovenia|293|386
SK Slovakia|231|421
SL Sierra Leone|619|232
SM San Marino|292|378
SN Senegal|608|221
SO Somalia|637|252
SR Suriname|746|597
SS South Sudan|659|211
ST Sao Tome and Principe|626|239
SV El Salvador|706|503
SX Sint Maarten||1721
SY Syria|417|963
SZ Eswatini|653|268
TC Turks and Caicos Islands|376|1649
TD Chad|622|235
TG Togo|615|228
TH Thailand|520|66
TJ Tajikistan|436|992
TK Tokelau|554|690
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
VC Saint Vincent and The Grenadines|360|1784
VE Venezuela|734|58
VG British Virgin Islands|348|1284
VI U.S. Virgin Islands|332|1340
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
"""Code and name, mobile country codes, calling codes; a long row goes on in another one."""

NETWORKS = """
001|001 TEST|01 TEST
202|01 Cosmote|02 Cosmote|05 Vodafone|09 NOVA|10 NOVA|14 Cyta Hellas
204|02 Tele2|03 Enreach|04 Vodafone|07 Teleena|08 KPN|09 Lycamobile|10 KPN|12 Telfort|15 Ziggo
204|16 T-Mobile (BEN)|18 Ziggo|20 T-Mobile|27 L-mobi|62 RGTN
206|01 Proximus|03 Citymesh Connect|05 Telenet|06 Lycamobile|08 VOO|10 Orange Belgium|20 Base
206|30 Mobile Vikings
208|01 Orange|02 Orange|03 MobiquiThings|08 SFR|09 SFR|10 SFR|11 SFR|12 Truphone|13 SFR
208|14 SNCF Réseau|15 Free|16 Free|20 Bouygues|24 Sierra Wireless|25 LycaMobile|26 NRJ Mobile
208|28 AIF|31 Vectone Mobile|35 Free|36 Free|88 Bouygues
212|10 Office des Telephones
213|03 Som, Mobiland
214|01 Vodafone|02 Fibracat|03 Orange|04 Yoigo|05 Movistar|06 Vodafone|07 Movistar|08 Euskaltel
214|09 Orange|16 TeleCable|17 Móbil R|19 Simyo|22 DIGI mobil|27 Truphone|28 Murcia4G|51 ADIF
216|01 Yettel Hungary|03 DIGI|30 Telekom|70 Vodafone|71 upc|99 MAV GSM-R
218|03 HT-ERONET|05 m:tel|90 BH Mobile
219|01 HT HR|10 A1 HR
220|01 Yettel|03 mt:s|05 A1 SRB|11 Globaltel
221|01 Vala|02 IPKO|06 Z Mobile|07 D3 Mobile
222|01 TIM|06 Vodafone|07 Kena Mobile|08 Fastweb|10 Vodafone|30 RFI|33 Poste Mobile|34 BT Italia
222|35 Lycamobile|36 Digi Mobil|38 LINKEM|41 GO internet|43 TIM|47 Fastweb|50 Iliad|53 COOP Voce
222|54 Plintron|56 Spusu|88 WINDTRE|99 WINDTRE
226|01 Vodafone|03 Telekom|05 Digi.Mobil|10 Orange|16 Lycamobile
228|01 Swisscom|02 Sunrise|03 Salt|06 SBB-CFF-FFS|08 Tele4u|53 upc cablecom|54 Lycamobile
228|58 beeone|63 FTS
230|01 T-Mobile|02 O2|03 Vodafone|07 T-Mobile
231|01 Orange|02 Telekom|03 4ka|04 Telekom|05 Orange|06 O2|99 ŽSR
232|01 A1.net|03 Magenta|05 3|07 Hofer Telekom|08 Lycamobile|09 Tele2Mobil|10 3|11 bob|12 yesss!
232|13 Magenta|15 Vectone Mobile|17 spusu|20 m:tel|91 GSM-R A|92 ArgoNET
234|00 BT|01 Vectone Mobile|02 O2 (UK)|03 Airtel-Vodafone|08 BT OnePhone|10 O2 (UK)|11 O2 (UK)
234|12 Railtrack|13 Railtrack|15 Vodafone UK|16 Talk Talk|18 Cloud9|19 PMN|20 3|24 Greenfone
234|25 Truphone|26 Lycamobile|27 Teleena|30 EE|33 EE|34 EE|36 Sure Mobile|50 JT|51 Relish
234|53 Mobile-X|54 iD Mobile|55 Sure Mobile|58 Pronto GSM|72 Hanhaa Mobile|76 BT|78 Airwave
234|88 telet
235|88 telet
238|01 TDC|02 Telenor|05 TetraNet|06 3|08 Voxbone|09 SINE|10 TDC|11 SINE|12 Lycamobile|15 Net 1
238|20 Telia|23 GSM-R DK|42 Wavely|73 Onomondo
240|01 Telia|02 3|03 Net 1|04 SWEDEN|05 Sweden 3G|06 Telenor|07 Tele2|10 Spring Mobil
240|12 Lycamobile|17 Gotanet|19 Vectone Mobile|21 MobiSir|24 Sweden 2G|38 Voxbone|63 FTS
242|01 Telenor|02 Telia|06 ice|08 Telia|09 Com4|14 ice|23 Lycamobile
244|03 DNA|05 Elisa|07 Nokia|12 DNA|14 Ålcom|21 Elisa- Saunalahti|26 Compatel|32 Voxbone|33 VIRVE
244|36 Telia / DNA|37 Tismi|91 Telia
246|01 Telia|02 BITĖ|03 Tele2|05 LitRail|06 Mediafon|08 MEZON
247|01 LMT|02 Tele2|03 TRIATEL|05 Bite|08 VMT|09 Xomobile
248|01 Telia|02 Elisa|03 Tele2|04 Top Connect|05 CSC Telecom|16 dzinga
250|01 MTS|02 MegaFon|08 Vainah Telecom|09 Skylink|11 Yota|16 Miatel|20 Tele2|21 GlobalTel
250|23 Thuraya|26 VTB Mobile|27 Letai|29 Iridium|32 Win Mobile|33 Sevmobile|34 Krymtelekom
250|35 MOTIV|40 VTC Mobile|45 Gazprombank Mobile|50 SberMobile|59 WireFire|60 Volna mobile
250|62 Tinkoff Mobile|96 +7Telecom|97 Phoenix|99 Beeline
255|00 IDC|01 Vodafone|02 Kyivstar|03 Kyivstar|04 Intertelecom|06 lifecell|07 3Mob; Lycamobile
255|21 PEOPLEnet|98 MKS (ex. Lugacom)
257|01 A1|02 MTS|04 life:)|06 beCloud
259|01 Orange|02 Moldcell|03 Moldtelecom|05 Moldtelecom|15 IDC|99 Moldtelecom
260|01 Plus|02 T-Mobile|03 Orange|06 Play|07 Netia|09 Lycamobile|11 Plus|12 Cyfrowy Polsat|15 Plus
260|16 Plus|17 Plus|25 TeleCube.PL|33 Truphone|34 NetWorkS!|39 Voxbone|45 Virgin Mobile
262|01 Telekom|02 Vodafone|03 O2|09 Vodafone|12 Simquadrat|15 Airdata|19 450connect|20 Enreach
262|23 1&1|43 Lycamobile
266|01 GibTel
268|01 Vodafone|03 NOS|04 LycaMobile|06 MEO|80 MEO
270|01 POST|71 CFL|77 Tango|99 Orange
272|01 Vodafone|02 3|03 Eir|05 3|07 Eir|11 Tesco Mobile|13 Lycamobile|15 Virgin Mobile
272|16 Carphone Warehouse
274|01 Síminn|02 Vodafone|04 Viking|08 On-waves|11 Nova|12 Tal
276|01 ONE|02 Vodafone|03 ALBtelecom
278|01 Epic|21 GO|77 Melita
280|01 Cytamobile-Vodafone|10 Epic|20 PrimeTel|22 lemontel
282|01 Geocell|02 Magti|03 MagtiFix|04 Beeline|05 S1|07 GlobalCell|08 Silk LTE
283|01 Beeline|04 Karabakh Telecom|05 VivaCell-MTS|10 Ucom
284|01 A1 BG|03 Vivacom|05 Yettel|07 НКЖИ|13 Ти.ком
286|01 Turkcell|02 Vodafone|03 Türk Telekom
288|01 Føroya Tele|02 Nema
289|67 Aquafon|88 A-Mobile
290|01 tusass|02 Nanoq Media
292|01 PRIMA
293|40 A1 SI|41 Mobitel|64 T-2|70 Telemach
294|01 Telekom.mk|03 A1 MK|04 Lycamobile
295|01 Swisscom|02 7acht|05 FL1|06 Cubic Telecom
297|01 One|02 telekom.me|03 m:tel
302|130 Xplore|131 Xplore|220 Telus Mobility, Koodo Mobile, Public Mobile|270 EastLink|300 ECOTEL
302|310 ECOTEL|320 Rogers Wireless|340 Execulink|370 Fido|380 Keewaytinook Mobile|420 ABC
302|480 Qiniq|490 Freedom Mobile|500 Videotron|510 Videotron|520 Rogers (Vidéotron MOCN)
302|530 Keewaytinook Mobile|590 Quadro Mobility|610 Bell Mobility|620 ICE Wireless|650 TBaytel
302|660 MTS|680 SaskTel|690 Bell|710 Globalstar|720 Rogers Wireless|760 Public Mobile
302|770 TNW Wireless|780 SaskTel|880 Bell / Telus / SaskTel|940 Wightman Mobility
308|01 Ameris|02 GLOBALTEL
310|004 Verizon|006 Verizon|012 Verizon|020 Union Wireless|030 AT&T|032 IT&E Wireless|034 Airpeak
310|050 GCI|053 Virgin Mobile|066 U.S. Cellular|070 AT&T|080 AT&T|090 AT&T|100 Plateau Wireless
310|110 IT&E Wireless|120 T-Mobile|130 Carolina West Wireless|140 GTA Wireless|150 AT&T
310|160 T-Mobile|170 AT&T|180 West Central|190 GCI|260 T-Mobile|320 Cellular One
310|340 Limitless Mobile|360 Pioneer Cellular|370 Docomo|390 Cellular One of East Texas
310|400 IT&E Wireless|410 AT&T|430 GCI|450 Viaero|460 Conecto|480 IT&E Wireless|500 Alltel
310|540 Phoenix|59 Cellular One|600 Cellcom|650 Jasper|680 AT&T|690 Limitless Mobile|710 ASTAC
310|740 Viaero|840 telna Mobile|850 Aeris|860 Five Star Wireless|880 DTC Wireless
310|900 Mid-Rivers Wireless|950 AT&T|960 STRATA|990 Evolve Broadband
311|000 West Central Wireless|020 Chariton Valley|030 Indigo Wireless|040 Choice Wireless|070 AT&T
311|080 Pine Cellular|090 AT&T|120 IT&E Wireless|140 Bravado Wireless|220 U.S. Cellular
311|230 C Spire|250 IT&E Wireless|320 Choice Wireless|330 Bug Tussel Wireless|350 Nemont
311|370 GCI Wireless|410 Chat Mobility|420 NorthwestCell|450 PTCI|470 Viya|480 Verizon
311|490 T-Mobile|530 NewCore|550 Choice Wireless|560 OTZ Cellular|580 U.S. Cellular
311|600 Limitless Mobile|640 Rock Wireless|650 United Wireless|660 Metro|670 Pine Belt Wireless
311|780 ASTCA|840 Cellcom|850 Cellcom|860 STRATA|882 T-Mobile|950 ETC|970 Big River Broadband
312|030 Bravado Wireless|080 SyncSouth|120 Appalachian Wireless|130 Appalachian Wireless
312|150 NorthwestCell|160 Chat Mobility|170 Chat Mobility|220 Chariton Valley|250 T-Mobile
312|270 Pioneer Cellular|280 Pioneer Cellular|300 telna Mobile|330 Nemont|370 Choice Wireless
312|390 FTC Wireless|400 Mid-Rivers Wireless|470 Carolina West Wireless|530 T-Mobile|590 NMU
312|670 FirstNet|720 Southern LINC|810 BBCP|900 ClearTalk
313|020 CTC Wireless|040 NNTC Wireless|100 FirstNet|340 Dish|460 Mobi|510 Claro|790 Liberty
313|860 Nextlink|890 TCOE|930 Rock Wireless
330|000 Open Mobile|110 Claro Puerto Rico|120 Open Mobile
334|020 Telcel|030 Movistar|050 AT&T / Unefon|090 AT&T|140 Red Compartida|150 Ultranet
334|180 FreedomPop|190 Viasat
338|05 Digicel|050 Digicel Bermuda|110 FLOW|180 FLOW
340|01 Orange|02 SFR Caraïbe|03 FLOW|08 Dauphin|20 Digicel
342|600 FLOW|750 Digicel
344|030 APUA|050 Digicel|920 FLOW
346|001 Logic|140 FLOW
348|170 FLOW|570 CCT Boatphone|770 Digicel
350|00 One
352|030 Digicel|110 FLOW
354|860 FLOW
356|050 Digicel|070 FLOW|110 FLOW
358|110 FLOW
360|050 Digicel|110 FLOW
362|51 Telcell|54 ECC|60 FLOW|68 Digicel|69 Digicel|76 Digicel|78 Telbo|91 FLOW|94 Bayòs
363|01 SETAR|02 Digicel
364|39 BTC|49 Aliv
365|840 FLOW
366|020 Digicel|110 FLOW
368|01 CUBACEL
370|01 Altice|02 Claro|03 Altice|04 Viva|05 Wind
372|02 Digicel|03 Natcom
374|12 bmobile|130 Digicel
376|350 FLOW
400|01 Azercell|02 Bakcell|03 FONEX|04 Nar Mobile|06 Naxtel
401|01 Beeline|02 Kcell|07 Altel|08 Kazakhtelecom|77 Tele2.kz
402|11 B-Mobile|77 TashiCell
404|01 Vi India|02 AirTel|03 AirTel|05 Vi India|07 Vi India|09 Reliance|10 AirTel|11 Vi India
404|14 Vi India|15 Vi India|16 Airtel|18 Reliance|20 Vi India|22 Vi India|30 Vi India|31 AirTel
404|34 BSNL Mobile|36 Reliance|38 BSNL Mobile|40 AirTel|43 Vi India|45 Airtel|46 Vi India
404|49 Airtel|50 Reliance|51 BSNL Mobile|52 Reliance|53 BSNL Mobile|54 BSNL Mobile|55 BSNL Mobile
404|56 Vi India|57 BSNL Mobile|58 BSNL Mobile|59 BSNL Mobile|60 Vi India|62 BSNL Mobile
404|64 BSNL Mobile|66 BSNL Mobile|67 Reliance|68 MTNL|69 MTNL|70 AirTel|71 BSNL Mobile
404|72 BSNL Mobile|73 BSNL Mobile|74 BSNL Mobile|75 BSNL Mobile|76 BSNL Mobile|77 BSNL Mobile
404|78 Vi India|79 BSNL Mobile|80 BSNL Mobile|81 BSNL Mobile|82 Vi India|83 Reliance|85 Reliance
404|86 Vi India|90 AirTel|92 AirTel|93 AirTel|94 AirTel|95 AirTel|96 AirTel|97 AirTel|98 AirTel
405|03 Reliance|04 Reliance|05 Reliance|06 Reliance|07 Reliance|08 Reliance|09 Reliance
405|10 Reliance|11 Reliance|12 Reliance|13 Reliance|14 Reliance|15 Reliance|17 Reliance
405|18 Reliance|19 Reliance|20 Reliance|21 Reliance|22 Reliance|23 Reliance|51 AirTel|52 AirTel
405|53 AirTel|54 AirTel|55 Airtel|56 AirTel|67 Vi India|70 Vi India|750 Vi India|751 Vi India
405|753 Vi India|755 Vi India|840 Jio|854 Jio|855 Jio|856 Jio|857 Jio|858 Jio|859 Jio|860 Jio
405|861 Jio|862 Jio|863 Jio|864 Jio|865 Jio|866 Jio|867 Jio|868 Jio|869 Jio|870 Jio|871 Jio
405|872 Jio|873 Jio|874 Jio|908 Vi India
410|01 Jazz|02 3G EVO / CharJi 4G|03 Ufone|04 Zong|05 SCO Mobile|06 Telenor|07 Jazz|08 SCO Mobile
412|01 AWCC|20 Roshan|40 MTN|50 Etisalat|55 WASEL|80 Salaam|88 Salaam
413|01 SLTMobitel|02 Dialog|04 Lanka Bell|05 Airtel|08 Hutch|11 Dialog|12 SLTMobitel
414|01 MPT|03 CDMA800|05 Ooredoo|06 Telenor|09 Mytel|20 ACS|21 ACS
415|01 Alfa|03 Touch
416|01 zain JO|03 Umniah|77 Orange
417|01 Syriatel|02 MTN
418|00 Asia Cell|05 Asia Cell|08 SanaTel|20 Zain|30 Zain|40 Korek|45 Mobitel|62 Itisaluna
418|92 Omnnea
419|02 zain KW|03 Ooredoo|04 STC
420|01 Al Jawal (STC )|03 Mobily|04 Zain SA|05 Virgin Mobile|06 Lebara Mobile|21 RGSM
421|01 SabaFon|02 YOU|03 Yemen Mobile|04 Y|10 Yemen-4G|11 Yemen Mobile
422|02 Omantel|03 Ooredoo|06 Vodafone
424|02 Etisalat|03 du
425|01 Partner|02 Cellcom|03 Pelephone|05 Jawwal|06 Wataniya Mobile|07 Hot Mobile|08 Golan Telecom
425|09 We4G|10 Partner|12 x2one|16 Rami Levy|18 Cellact Communications|19 019 Mobile|24 012 Mobile
425|25 IMOD|26 Annatel
426|01 Batelco|02 zain BH|04 stc|05 Batelco
427|01 Ooredoo|02 Vodafone|05 Ministry of Interior|06 Ministry of Interior
428|88 Unitel|91 Skytel|98 G-Mobile|99 Mobicom
429|01 Namaste / NT Mobile / Sky Phone|02 Ncell|03 UTL|04 SmartCell
432|02 ApTel, AzarTel|06 Arian-Tel|08 Shatel Mobile|10 Samantel|11 IR-TCI (Hamrah-e-Avval)
432|12 Avacell (HiWEB)|14 TKC/KFZO|20 RighTel|21 RighTel|32 Taliya|35 MTN Irancell|40 Mobinnet
432|44 Mobinnet|45 Zi-Tel|50 Shatel Mobile|70 MTCE|71 KOOHE NOOR|90 Iraphone|93 Iraphone|99 TCI
434|03 UzMobile|04 Beeline|05 Ucell|06 Perfectum Mobile|07 Mobiuz|08 UzMobile|09 EVO
436|01 Tcell|02 Tcell|03 MegaFon|04 Babilon-M|05 ZET-Mobile|10 Babilon-T
437|01 Beeline|05 MegaCom|09 O!
438|02 TM-Cell|03 AGTS CDMA
440|00 Y!Mobile|03 IIJmio|10 NTT docomo|11 Rakuten Mobile|20 SoftBank|21 SoftBank|50 au|51 au
440|52 au|53 au
441|01 SoftBank
450|02 KT|04 KT|05 SKTelecom|06 LG U+|08 olleh|11 Tplus|12 SKTelecom
452|01 MobiFone|02 Vinaphone|04 Viettel Mobile|05 Vietnamobile|07 Gmobile|08 I-Telecom|09 REDDI
454|00 1O1O / One2Free / New World Mobility / SUNMobile|03 3|06 SmarTone|07 China Unicom
454|08 Truphone|12 CMCC HK|13 CMCC HK|16 PCCW Mobile (2G)|19 PCCW Mobile (3G)|20 PCCW Mobile (4G)
454|29 PCCW Mobile (CDMA)|31 CTExcel
455|00 SmarTone|01 CTM|04 CTM|05 3|06 SmarTone|07 China Telecom
456|01 Cellcard|02 Smart|05 Smart|06 Smart|08 Metfone|09 Metfone|11 SEATEL|18 Cellcard
457|01 LaoTel|02 ETL|03 Unitel|07 Best|08 TPLUS
460|00 China Mobile|01 China Unicom|03 China Telecom|09 China Unicom|11 China Telecom
460|15 China Broadnet|20 China Tietong
466|01 FarEasTone|05 Gt|09 VMAX|10 G1|89 T Star|92 Chunghwa|97 Taiwan Mobile
467|05 Koryolink|06 Kang Song NET
470|01 Grameenphone|02 Robi|03 Banglalink|04 TeleTalk|07 Airtel|10 Banglalion
472|01 Dhiraagu|02 Ooredoo
502|11 TM Homeline|12 Maxis|13 Celcom|150 Tune Talk|152 Yes|153 unifi|156 Altel|157 Telin|16 DiGi
502|17 Maxis|18 U Mobile|19 Celcom
505|01 Telstra|02 Optus|03 Vodafone|10 Norfolk Is.|13 RailCorp|14 AAPT|16 VicTrack|19 Lycamobile
505|38 Truphone|62 NBN|68 NBN|71 Telstra|72 Telstra|90 Optus
510|00 PSN|01 Indosat Ooredoo Hutchison|09 Smartfren|10 Telkomsel|11 XL
510|21 Indosat Ooredoo Hutchison|28 Fren/Hepi|89 3
514|01 Telkomcel|02 TT|03 Telemor
515|02 Globe|03 SMART|05 Sun Cellular|24 ABS-CBN Mobile|66 DITO
520|00 TrueMove H / my by NT|01 AIS|02 NT Mobile|03 AIS|04 TrueMove H|05 dtac|15 AIS-T / NT Mobile
520|17 NT Mobile|18 dtac|47 dtac-T|99 TrueMove
525|01 SingTel|03 M1|05 StarHub|09 Circles.Life|10 SIMBA|12 Grid
528|02 PCSB|11 DST
530|01 Vodafone|05 Spark|24 2degrees
536|02 Digicel
537|01 bmobile|02 citifon|03 Digicel
539|01 U-Call|88 Digicel
540|01 BREEZE|02 BeMobile
541|00 AIL|01 SMILE|05 Digicel|07 WanTok
542|01 Vodafone|02 Digicel|03 TFL
543|01 Manuia
544|11 Bluesky
545|01 Kiribati - ATH|09 Kiribati - Frigate Net
546|01 Mobilis
547|05 Ora|15 Vodafone|20 Vini
548|01 Vodafone
549|01 Digicel|27 Vodafone
552|01 PNCC|02 PT Waves|99 PMCI
553|01 TTC
555|01 Telecom Niue
602|01 Orange|02 Vodafone|03 Etisalat|04 WE
603|01 Mobilis|02 Djezzy|03 Ooredoo|07 AT|09 AT
604|00 Orange Morocco|01 IAM|02 INWI|05 INWI
605|01 Orange|02 Tunicell|03 Ooredoo
606|00 Libyana|01 Madar|02 Al-Jeel Phone|03 Libya Phone|06 Hatef Libya
607|01 Gamcel|02 Africell|03 Comium|04 QCell
608|01 Orange|02 Free|03 Expresso
609|01 Mattel|02 Chinguitel|10 Moov
610|01 Malitel|02 Orange|03 Telecel
611|01 Orange|02 Sotelgui|04 MTN|05 Cellcom
612|02 Moov|03 Orange|04 KoZ|05 MTN|06 GreenN|07 café
613|01 Telmob|02 Orange|03 Telecel Faso
614|01 SahelCom|02 Airtel|03 Moov|04 Orange
615|01 Togo Cell|03 Moov
616|02 Moov|03 MTN|04 BBCOM
617|01 my.t|02 MOKOZE / AZU|03 CHILI|10 Emtel
618|01 Lonestar Cell MTN|04 Novafone|07 Orange LBR|20 LIBTELCO
619|01 Orange|03 Africell|05 Africell|06 SierraTel|09 Smart Mobile
620|01 MTN|02 Vodafone|03 AirtelTigo|04 Expresso|06 AirtelTigo|07 Globacom|10 Blu|14 busy
621|20 Airtel|22 InterC|27 Smile|30 MTN|40 Ntel|50 Glo|60 9mobile
622|01 Airtel|02 Tawali|03 Tigo|07 Salam
623|01 Moov|02 TC|03 Orange|04 Azur
624|01 MTN Cameroon|02 Orange|03 Camtel|04 Nexttel
625|01 CVMOVEL|02 T+
626|01 CSTmovel|02 Unitel STP
627|01 Orange GQ|03 Muni
628|01 Libertis|02 Moov|03 Airtel
629|01 Airtel|07 Airtel|10 Libertis Telecom
630|01 Vodacom|02 Airtel|05 Supercell|86 Orange RDC|89 Orange RDC|90 Africell
631|02 UNITEL|04 MOVICEL
632|01 Guinetel|02 MTN Areeba|03 Orange|07 Guinetel
633|01 Cable & Wireless|10 Airtel
634|01 Zain SD|02 MTN|05 canar|07 Sudani One|09 khartoum INC
635|10 MTN|13 Airtel|17 Olleh
636|01 MTN
637|01 Telesom|04 Somafone|10 Nationlink|20 SOMNET|30 Golis|50 Hormuud|57 UNITEL|60 Nationlink
637|67 Horntel Group|71 Somtel|82 Telcom
638|01 Evatis
639|02 Safaricom|03 Airtel|07 Telkom|10 Faiba 4G
640|02 tiGO|03 Zantel|04 Vodacom|05 Airtel|07 TTCL Mobile|09 Halotel|11 SmileCom
641|01 Airtel|10 MTN|11 Uganda Telecom|14 Africell|22 Airtel|33 Smile|44 K2
642|01 econet Leo|03 Onatel|08 Lumitel|82 econet Leo
643|01 mCel|03 Movitel|04 Vodacom
645|01 Airtel|02 MTN|03 ZAMTEL
646|01 Airtel|02 Orange|04 Telma|05 BIP / blueline
647|00 Orange|01 Maoré Mobile|02 Only|03 Free|10 SFR Réunion
648|01 Net*One|03 Telecel|04 Econet
649|01 MTC|02 switch|03 TN Mobile
650|01 TNM|02 Access|03 MTL|10 Airtel
651|01 Vodacom|02 Econet Telecom
652|01 Mascom|02 Orange|04 beMobile
653|10 MTN Eswatini
654|01 HURI|02 TELCO SA
655|01 Vodacom|02 Telkom|07 Cell C|10 MTN|14 Neotel|19 rain
657|01 Eritel
658|01 Sure
659|02 MTN|03 Gemtel|06 Zain|07 Sudani
702|67 DigiCell|69 SMART|99 SMART
704|01 Claro|02 Tigo|03 Claro|? RED/INTELFON
706|01 Claro|02 Digicel|03 Tigo|04 Movistar|05 RED
708|001 Claro|002 Tigo|030 Hondutel
710|21 Claro|300 Tigo|73 Claro
712|01 Kölbi ICE|02 Kölbi ICE|03 Claro|04 Liberty
714|01 Cable & Wireless|02 Tigo|020 Tigo|03 Claro|04 Digicel
716|06 Movistar|07 Entel|10 Claro|15 Bitel|17 Entel
722|010 Movistar|034 Personal|040 Globalstar|070 Movistar|310 Claro|320 Claro|330 Claro
722|341 Personal
724|02 TIM|03 TIM|04 TIM|05 Claro|06 Vivo|10 Vivo|11 Vivo|15 Sercomtel|17 Surf Telecom|18 datora
724|21 LIGUE|23 Vivo|28 No name|29 Unifique|32 Algar Telecom|33 Algar Telecom|34 Algar Telecom
724|38 Claro|39 Nextel|54 Conecta|99 Local
730|01 entel|02 Movistar|03 CLARO CL|04 WOM|06 Telsur|08 VTR Móvil|09 WOM|10 entel
730|12 Colo-Colo MóvilWanderers Móvil|13 Virgin Mobile|19 móvil Falabella|99 Will
732|001 Movistar|020 Tigo|099 EMCALI|101 Claro|103 Tigo|111 Tigo|123 Movistar|130 AVANTEL
732|154 Virgin Mobile|187 eTb|360 WOM
734|02 Digitel GSM|04 Movistar|06 Movilnet
736|01 Viva|02 Entel|03 Tigo
738|00 E-Networks|002 GT&T Cellink Plus|01 Digicel
740|00 Movistar|01 Claro|02 CNT Mobile|03 Tuenti
744|01 VOX|02 Claro|04 Tigo|05 Personal|06 Copaco
746|02 Telesur|03 Digicel
748|01 Antel|07 Movistar|10 Claro
750|001 Sure
901|03 Iridium|11 Inmarsat|12 Telenor|14 AeroMobile|15 OnAir|16 Cisco Jasper|18 Cellular at Sea
901|19 Epic Maritime|26 TIM@sea|27 OnMarine|28 Vodafone|31 Orange|40 1NCE
901|53 European Aviation Network
995|01 FonePlus
"""
"""Mobile country code, then mobile network codes with the names of networks that are at work."""
