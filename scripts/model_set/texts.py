"""One short text as token ids, so that language models get real input without a tokenizer."""

TEXT = (
    "The capital of France is Paris, a city on the river Seine. Its memory hierarchy, so to "
    "say, has three levels: a small square that everyone visits, a ring of quiet streets, and "
    "the wide suburbs where most people keep their things. Whoever plans a walk through it "
    "decides what to carry, what to leave at the hotel, and what to fetch on the way. A good "
    "plan carries little and waits for nothing; a bad one goes back and forth all day. The "
    "same is true of a chip. Weights that are read once may stay far away, as long as they "
    "arrive in time; results that are needed again at once should never leave the table. "
    "Finding the best plan is hard, but telling a good one from a bad one takes only a clock."
)


def _ids(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split())


# With [CLS] and [SEP]; vocabulary of bert-base-uncased, shared by MiniLM.
BERT_IDS = _ids(
    """
    101 1996 3007 1997 2605 2003 3000 1010 1037 2103 2006 1996 2314 16470 1012 2049 3638 12571
    1010 2061 2000 2360 1010 2038 2093 3798 1024 1037 2235 2675 2008 3071 7879 1010 1037 3614
    1997 4251 4534 1010 1998 1996 2898 9435 2073 2087 2111 2562 2037 2477 1012 9444 3488 1037
    3328 2083 2009 7288 2054 2000 4287 1010 2054 2000 2681 2012 1996 3309 1010 1998 2054 2000
    18584 2006 1996 2126 1012 1037 2204 2933 7883 2210 1998 18074 2005 2498 1025 1037 2919 2028
    3632 2067 1998 5743 2035 2154 1012 1996 2168 2003 2995 1997 1037 9090 1012 15871 2008 2024
    3191 2320 2089 2994 2521 2185 1010 2004 2146 2004 2027 7180 1999 2051 1025 3463 2008 2024
    2734 2153 2012 2320 2323 2196 2681 1996 2795 1012 4531 1996 2190 2933 2003 2524 1010 2021
    4129 1037 2204 2028 2013 1037 2919 2028 3138 2069 1037 5119 1012 102
    """
)

SMOLLM2_IDS = _ids(
    """
    504 3575 282 4649 314 7042 28 253 2240 335 260 4626 1268 462 30 4781 3500 15405 28 588 288
    1643 28 553 1296 1825 42 253 1165 5222 338 2573 10455 28 253 8233 282 8354 9018 28 284 260
    3599 28165 837 768 701 1446 480 1495 30 6244 872 4406 253 4549 738 357 16622 732 288 3631 28
    732 288 3934 418 260 15470 28 284 732 288 22957 335 260 970 30 330 1123 1252 11046 1838 284
    43910 327 3878 43 253 3309 582 3935 1056 284 7146 511 1194 30 378 1142 314 2629 282 253
    13027 30 1046 1762 338 359 1012 2268 654 2951 1869 2025 28 347 986 347 502 11296 281 655 43
    1844 338 359 2350 1163 418 2268 868 2093 3934 260 3252 30 19540 260 1450 1252 314 1759 28
    564 8932 253 1123 582 429 253 3309 582 2933 805 253 9191 30
    """
)
