// Bodies of models, files and vocabularies.
#include <weir/core/target.hpp>

#if WEIR_DECLARED_ONLY
#include <weir/model/gguf.inl.hpp>
#include <weir/model/gguf_cursor.inl.hpp>
#include <weir/model/gguf_parts.inl.hpp>
#include <weir/model/gguf_split.inl.hpp>
#include <weir/model/gguf_tensor.inl.hpp>
#include <weir/model/gguf_value.inl.hpp>
#include <weir/model/incremental_decoder.inl.hpp>
#include <weir/model/leftmost_largest.inl.hpp>
#include <weir/model/llama.inl.hpp>
#include <weir/model/llama_config.inl.hpp>
#include <weir/model/llama_weights.inl.hpp>
#include <weir/model/load_model.inl.hpp>
#include <weir/model/mapped_file.inl.hpp>
#include <weir/model/name_index.inl.hpp>
#include <weir/model/pair_index.inl.hpp>
#include <weir/model/piece_joins.inl.hpp>
#include <weir/model/piece_merger.inl.hpp>
#include <weir/model/tokenizer.inl.hpp>
#include <weir/model/vocabulary.inl.hpp>
#include <weir/model/word_automaton.inl.hpp>
#endif
