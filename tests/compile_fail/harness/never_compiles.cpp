static_assert(sizeof(char) == 2, "the expected sentence");
