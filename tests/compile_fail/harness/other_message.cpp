#ifdef WEIR_FAIL
static_assert(sizeof(char) == 2, "some other sentence");
#endif
