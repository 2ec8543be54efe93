"""Where the demo's customers live: names, cities and the way phone numbers are written, by country."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Country:
    """What a customer of one country is made of.

    :param code: ISO 3166 code.
    :param region: the warehouse's partition.
    :param phone: an international number as people there write it; each ``#`` becomes a digit.
    :param postal_code: likewise; ``None`` where there are none.
    """

    code: str
    region: str
    phone: str
    postal_code: str | None
    cities: tuple[str, ...]
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]


def _country(
    code: str, region: str, phone: str, postal_code: str | None, cities: str, first_names: str, last_names: str
) -> Country:
    lists = (tuple(names.split(", ")) for names in (cities, first_names, last_names))
    return Country(code, region, phone, postal_code, *lists)


# Where a country sets numbers aside for films and examples, those are used.
COUNTRIES = (
    _country(
        *("ES", "europe", "+34 612 ### ###", "280##", "Madrid, A Coruña, Cádiz"),
        *("Begoña, Íñigo, Nuria, Joan", "Núñez, Ibáñez, Muñoz Seca, d'Ors"),
    ),
    _country(
        *("FR", "europe", "+33 6 39 98 ## ##", "690##", "Lyon, Orléans, Besançon"),
        *("Zoé, François, Anaïs, Jean-Loup", "Lefèvre, D'Aubigné, Garçon, Le Goff"),
    ),
    _country(
        *("DE", "europe", "+49 (1512) ###-####", "501##", "Köln, Düsseldorf, Gießen"),
        *("Jürgen, Käthe, Björn, Änne", "Groß, Müller-Lüdenscheidt, von der Heide, Weiß"),
    ),
    _country(
        *("GB", "europe", "+44 7700 900###", "LS# #AB", "Leeds, Bath, St Andrews"),
        *("Imogen, Rhys, Siân, Alistair", "O'Neill, Smythe-Jones, MacLeod, Pryce"),
    ),
    _country(
        *("IE", "europe", "+353 83 ### ####", "D0# X#Y#", "Dún Laoghaire, Galway, Cork"),
        *("Aoife, Pádraig, Niamh, Seán", "O'Shaughnessy, Ó Briain, Ní Dhomhnaill, Byrne"),
    ),
    _country(
        *("SE", "europe", "+46-70-174 06 ##", "41# ##", "Göteborg, Malmö, Umeå"),
        *("Åsa, Örjan, Linnéa, Björk", "Sjöberg, Åkesson, Öhman, Lind"),
    ),
    _country(
        *("PL", "europe", "+48 512 ### ###", "30-0##", "Kraków, Łódź, Gdańsk"),
        *("Małgorzata, Łukasz, Zofia, Paweł", "Wiśniewska, Żak, Dąbrowski, Łoś"),
    ),
    _country(
        *("GR", "europe", "+30 694 ### ####", "546 ##", "Θεσσαλονίκη, Αθήνα, Πάτρα"),
        *("Ελένη, Γιώργος, Δήμητρα, Νίκος", "Παπαδάκη, Οικονόμου, Αγγελίδης, Ζέρβας"),
    ),
    _country(
        *("BR", "americas", "+55 (11) 9####-####", "013##-###", "São Paulo, Florianópolis, Maceió"),
        *("Luís, Conceição, Thaís, João", "Gonçalves, Assunção, Simões, da Luz"),
    ),
    _country(
        *("US", "americas", "+1 (212) 555-01##", "100##", "New York, Coeur d'Alene, Cañon City"),
        *("Shaniqua, Walter, DeShawn, Mary Lou", "O'Hara, Washington, McAllister, Nguyen"),
    ),
    _country(
        *("CA", "americas", "+1.514.555.01##", "H2# #K#", "Montréal, Trois-Rivières, Halifax"),
        *("Maëlle, Étienne, Gwendolyn, Loïc", "Bélanger, L'Heureux, Côté, Singh"),
    ),
    _country(
        *("MX", "americas", "+52 55 #### ####", "067##", "Mérida, León, Cancún"),
        *("Xóchitl, Agustín, Guadalupe, Ángel", "Peña, Ordóñez, Zúñiga, Ávila"),
    ),
    _country(
        *("JP", "asia", "+81 90-####-####", "150-00##", "東京, 大阪, 札幌"),
        *("陽菜, 蓮, 美咲, 大翔", "山田, 佐藤, 鈴木, 高橋"),
    ),
    _country(
        *("IN", "asia", "+91 98### #####", "5600##", "Bengaluru, पुणे, Kochi"),
        *("Ananya, आरव, Lakshmi, Vikram", "Iyer, शर्मा, D'Souza, Chatterjee"),
    ),
    _country(
        *("AE", "asia", "+971 50 ### ####", None, "دبي, أبوظبي, Sharjah"),
        *("فاطمة, Omar, ليلى, يوسف", "الهاشمي, Al-Farsi, حداد, Mansour"),
    ),
    _country(
        *("VN", "asia", "+84 91 ### ## ##", "1000##", "Hà Nội, Đà Nẵng, Huế"),
        *("Thảo, Dũng, Quỳnh, Minh", "Nguyễn, Trần, Đặng, Phạm"),
    ),
    _country(
        *("NG", "africa", "+234 803 ### ####", "1012##", "Lagos, Ìbàdàn, Abuja"),
        *("Adébáyò, Chidi, Ngozi, Ọláwálé", "Okafor, Adéyemí, Eze, Balógun"),
    ),
    _country(
        *("MA", "africa", "+212 661-######", "200##", "Fès, الدار البيضاء, Agadir"),
        *("Aïcha, Youssef, Naïma, أمين", "El Idrissi, Benjelloun, بنعلي, Tazi"),
    ),
    _country(
        *("AU", "oceania", "+61 491 570 ###", "26##", "Canberra, Hobart, Wagga Wagga"),
        *("Kylie, Bruce, Jarrah, Chloë", "O'Dowd, Papadopoulos, Whitlam-Fry, Wu"),
    ),
    _country(
        *("NZ", "oceania", "+64 21 ### ####", "60##", "Whangārei, Tauranga, Ōtaki"),
        *("Māia, Wiremu, Aroha, Hēmi", "Te Rangi, Ngata, Pōtae, Fraser"),
    ),
)
