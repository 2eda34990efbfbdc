// One warning, which the check has to find.
int main(int argc, char**) {
  unsigned count = argc;
  return count > 8;
}
