// Draws that depend on nothing but their key, so that a repeated or restarted
// computation draws the same.
#ifndef BACKFLIP_COMMON_LEARN_RANDOM_H_
#define BACKFLIP_COMMON_LEARN_RANDOM_H_

#include <cstdint>

#include "common/base/draws.h"

namespace backflip::learn {

// SplitMix64 (Steele, Lea, Flood 2014) started from a hash of its key.
class KeyedRandom {
 public:
  KeyedRandom(uint64_t seed, uint64_t a, uint64_t b = 0, uint64_t c = 0) : state_(seed) {
    for (const uint64_t part : {a, b, c}) state_ = Next() ^ part;
    Next();
  }

  KeyedRandom(uint64_t seed, base::Draw draw, uint64_t b = 0, uint64_t c = 0)
      : KeyedRandom(seed, static_cast<uint64_t>(draw), b, c) {}

  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  // In [0, 1).
  double Uniform() { return base::UnitInterval(Next()); }

  // In 0 … bound − 1. The bias is negligible for bounds far below 2⁶⁴.
  int64_t Below(int64_t bound) {
    return static_cast<int64_t>(Next() % static_cast<uint64_t>(bound));
  }

 private:
  uint64_t state_;
};

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_RANDOM_H_
