#pragma once

/// `bytes` and `mutable_bytes`: what every stream's verbs take, pipes' below this floor too.
#include <lariat/base/buffer.hpp>
