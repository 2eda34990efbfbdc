int compiles_either_way;
