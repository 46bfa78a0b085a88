// Random names and keyed seeds.
#ifndef BACKFLIP_COMMON_BASE_RANDOM_H_
#define BACKFLIP_COMMON_BASE_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace backflip::base {

// 128 bits from the operating system as 32 hexadecimal digits: tokens, leases,
// request ids.
std::string RandomHex128();

// A seed that depends on all of `keys` and on their order (splitmix64). Draws
// keyed by what they are for, rather than taken from one stream, stay the same
// when the order of work changes.
uint64_t SeedOf(std::initializer_list<uint64_t> keys);

// A key for the content of `count` numbers, after `key`: the same wherever they are kept.
uint64_t ContentKey(uint64_t key, const float* values, size_t count);

// 64 random bits as a number in [0, 1), all 53 bits of it random.
inline double UnitInterval(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

}  // namespace backflip::base

#endif  // BACKFLIP_COMMON_BASE_RANDOM_H_
