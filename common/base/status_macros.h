// Early return on an error, for functions that return absl::Status or
// absl::StatusOr.
#ifndef BACKFLIP_COMMON_BASE_STATUS_MACROS_H_
#define BACKFLIP_COMMON_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define BACKFLIP_CONCAT_INNER(a, b) a##b
#define BACKFLIP_CONCAT(a, b) BACKFLIP_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expression)                                           \
  do {                                                                        \
    if (::absl::Status status_ = (expression); !status_.ok()) return status_; \
  } while (false)

#define ASSIGN_OR_RETURN(lhs, expression) \
  ASSIGN_OR_RETURN_IMPL(BACKFLIP_CONCAT(status_or_, __LINE__), lhs, expression)

#define ASSIGN_OR_RETURN_IMPL(name, lhs, expression) \
  auto name = (expression);                          \
  if (!name.ok()) return name.status();              \
  lhs = *std::move(name)

#endif  // BACKFLIP_COMMON_BASE_STATUS_MACROS_H_
