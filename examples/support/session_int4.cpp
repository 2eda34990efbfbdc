#include "session_of.hpp"

namespace tool {

template std::unique_ptr<generator> make_generator<weir::int4>(const weir::llama_model&,
                                                               const cache_choice&,
                                                               weir::decoder_options);
template std::unique_ptr<scorer> make_scorer<weir::int4>(const weir::llama_model&,
                                                         const cache_choice&,
                                                         const weir::stream_options&);

}  // namespace tool
