// Its object is nothing: it is here for the headers that are precompiled with it.
