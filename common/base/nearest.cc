#include "common/base/nearest.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/match.h"

namespace backflip::base {
namespace {

// How many letters must be put in, left out or exchanged to make one of the other.
size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t exchanged = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = std::exchange(row[j], std::min({exchanged, row[j] + 1, row[j - 1] + 1}));
    }
  }
  return row[b.size()];
}

}  // namespace

std::string Nearest(absl::string_view typed, const std::vector<std::string>& names) {
  std::string nearest;
  size_t least = std::max<size_t>(2, typed.size() / 3) + 1;
  for (const std::string& name : names) {
    const bool begun = typed.size() > 2 && absl::StartsWith(name, typed);
    const size_t distance = begun ? 1 : Distance(typed, name);
    if (distance >= least || distance >= typed.size()) continue;
    least = distance;
    nearest = name;
  }
  return nearest;
}

}  // namespace backflip::base
