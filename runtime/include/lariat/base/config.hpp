#pragma once

/// LARIAT_EXPORT marks what crosses the boundary of a shared library; everything else is hidden.
#define LARIAT_EXPORT __attribute__((visibility("default")))
