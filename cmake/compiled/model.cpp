// Bodies of models, files and vocabularies.
#include <weir/core/target.hpp>

#if WEIR_DECLARED_ONLY
#include <weir/model/gguf/gguf.inl.hpp>
#include <weir/model/gguf/gguf_cursor.inl.hpp>
#include <weir/model/gguf/gguf_parts.inl.hpp>
#include <weir/model/gguf/gguf_split.inl.hpp>
#include <weir/model/gguf/gguf_tensor.inl.hpp>
#include <weir/model/gguf/gguf_value.inl.hpp>
#include <weir/model/gguf/mapped_file.inl.hpp>
#include <weir/model/gguf/name_index.inl.hpp>
#include <weir/model/llama.inl.hpp>
#include <weir/model/llama_config.inl.hpp>
#include <weir/model/llama_weights.inl.hpp>
#include <weir/model/load_model.inl.hpp>
#include <weir/model/tokenizer/incremental_decoder.inl.hpp>
#include <weir/model/tokenizer/leftmost_largest.inl.hpp>
#include <weir/model/tokenizer/pair_index.inl.hpp>
#include <weir/model/tokenizer/piece_joins.inl.hpp>
#include <weir/model/tokenizer/piece_merger.inl.hpp>
#include <weir/model/tokenizer/tokenizer.inl.hpp>
#include <weir/model/tokenizer/vocabulary.inl.hpp>
#include <weir/model/tokenizer/word_automaton.inl.hpp>
#endif
