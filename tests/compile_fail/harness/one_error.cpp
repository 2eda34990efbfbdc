#ifdef WEIR_FAIL
static_assert(sizeof(char) == 2, "the expected sentence; it has [brackets] in it");
#endif
