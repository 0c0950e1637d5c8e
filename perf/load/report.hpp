#pragma once

#include <cstdio>
#include <string>

#include "generator.hpp"
#include "options.hpp"

namespace echo_load {

/// One line for a reader.
[[nodiscard]] std::string summary(const options& chosen, const outcome& found, const tally& seen);

/// One JSON object; the units are the last words of the names.
void write_json(std::FILE* to, const options& chosen, const outcome& found, const tally& seen);

}  // namespace echo_load
