// How LibTorch is set up in this process.
#ifndef BACKFLIP_COMMON_LEARN_TORCH_RUNTIME_H_
#define BACKFLIP_COMMON_LEARN_TORCH_RUNTIME_H_

#include <string>

namespace backflip::learn {

// One thread inside each operation: networks this small are slower on several.
// Call it once before the first learner or ensemble. At most one thread of a
// process may use learners and ensembles at a time: with Debian's serial OpenBLAS
// two at once were seen to change each other's results.
void SetUpTorch();

// The file of the library that serves matrix products; "unknown" for a LibTorch with its
// own BLAS inside.
std::string BlasLibrary();

// Logs which library serves matrix products, and warns where it is the reference BLAS,
// which makes training five to seven times slower.
void ReportBlas();

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_TORCH_RUNTIME_H_
