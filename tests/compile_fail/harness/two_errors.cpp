#ifdef WEIR_FAIL
static_assert(sizeof(char) == 2, "the expected sentence");
static_assert(sizeof(char) == 3, "the expected sentence");
#endif
