// How attention weighs what it reads from a cache.
#pragma once

namespace throng::kv {

enum class SoftmaxKind {
  kExact,
  kSas,  // attention/sas.h
};

}  // namespace throng::kv
