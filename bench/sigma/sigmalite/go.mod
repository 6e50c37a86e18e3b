// The engine is not required here: it comes from the workspace that the benchmark makes, as no proxy needs to have it.
module github.com/tocsin-project/tocsin/bench/sigma/sigmalite

go 1.26.0
