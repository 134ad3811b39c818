"""What columns are called that say the same, in the order of preference where a table has several of them."""

# Compared without capitals, spaces and signs: `_id` is "id", `baseColour` is "basecolour".
NAMES: dict[str, tuple[str, ...]] = {
    "product": (
        *("productid", "product", "sku", "skuid", "asin", "itemid", "item", "styleid", "style", "articleid", "article"),
        *("articlenumber", "productcode", "modelid", "gtin", "ean", "upc", "handle", "id", "uid", "uuid", "code"),
    ),
    "category": (
        *("category", "categoryname", "productcategory", "producttype", "producttypename", "articletype", "type"),
        *("subcategory", "mastercategory", "maincategory", "categoryid", "kind", "class", "classname", "label"),
        *("department", "departmentname", "section", "sectionname", "productgroup", "productgroupname", "group"),
    ),
    "colour": (
        *("colour", "color", "basecolour", "basecolor", "maincolour", "maincolor", "colourname", "colorname"),
        *("colourgroupname", "colorgroupname", "colours", "colors"),
    ),
    "gender": ("gender", "sex", "targetgender"),
    "path": (
        *("path", "imagepath", "photopath", "filepath", "file", "filename", "imagefile", "imagefilename", "imagename"),
        *("photofile", "photoname", "image", "photo", "picture", "img", "name"),
    ),
    "url": (
        *("imageurl", "photourl", "pictureurl", "imgurl", "imagelink", "photolink", "image", "photo", "picture", "img"),
        *("url", "link", "href"),
    ),
    "title": (
        *("title", "producttitle", "productname", "productdisplayname", "displayname", "itemname", "articlename"),
        *("prodname", "stylename", "name", "itemtitle"),
    ),
    "price": (
        *("price", "saleprice", "currentprice", "sellingprice", "finalprice", "discountedprice", "unitprice"),
        *("priceeur", "priceusd", "pricegbp", "priceineur", "priceinusd", "retailprice", "listprice", "regularprice"),
    ),
    "side": ("side", "domain"),
    "split": ("split", "set", "subset", "partition", "fold", "evaluationstatus"),
    "left": ("left", "x", "bboxleft", "bboxx", "boxleft"),
    "top": ("top", "y", "bboxtop", "bboxy", "boxtop"),
    "width": ("width", "w", "bboxwidth", "bboxw", "boxwidth"),
    "height": ("height", "h", "bboxheight", "bboxh", "boxheight"),
}
# Few distinct words as a category has them, but nothing that products are told apart within.
NO_CATEGORY = frozenset(
    (
        *("brand", "brandname", "season", "usage", "size", "material", "currency", "language", "country", "condition"),
        *("date", "day", "month", "year", "price", "status", "available", "availability", "stock", "source"),
        "position",
    )
)


def plain(name: str) -> str:
    """Return a column's name as `NAMES` writes it."""
    return "".join(sign for sign in name.lower() if sign.isalnum())


def called(field: str, names: list[str]) -> list[str]:
    """Return the columns that are called as a field is, the preferred one first."""
    known = NAMES[field]
    return sorted((name for name in names if plain(name) in known), key=lambda name: known.index(plain(name)))
