#include "common/learn/novelty.h"

#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "common/base/draws.h"
#include "common/base/status_macros.h"
#include "common/learn/parameters.h"

namespace backflip::learn {
namespace {

constexpr int kNeighbour = 5;
constexpr int64_t kSample = 1024;
// Rows of distances that are computed at once: 4 MB.
constexpr int64_t kBlock = 512;
constexpr float kBound = 5;  // on normalised observations, as policies have it
constexpr char kKept[] = "novelty.kept";
constexpr char kSeen[] = "novelty.seen";
constexpr char kNormalizer[] = "novelty.normalizer";

// The least of `values` in order, one more than the neighbours: an observation may be among
// those that it is compared with.
using Nearest = std::array<float, kNeighbour + 1>;
Nearest NearestOf(const float* values, int64_t count) {
  Nearest nearest;
  nearest.fill(std::numeric_limits<float>::infinity());
  for (int64_t i = 0; i < count; ++i) {
    if (values[i] >= nearest.back()) continue;
    int place = kNeighbour;
    for (; place > 0 && nearest[place - 1] > values[i]; --place)
      nearest[place] = nearest[place - 1];
    nearest[place] = values[i];
  }
  return nearest;
}

}  // namespace

void Novelty::Observe(const experience::Batch& batch) {
  int64_t steps = 0;
  for (const experience::Trajectory& t : batch.trajectories) {
    normalizer_.Add(t.observations.data(), t.steps);
    steps += t.steps;
  }
  references_ = kept_;
  const int64_t sampled = std::min(steps, kSample);
  int64_t row = 0, taken = 0;
  for (const experience::Trajectory& t : batch.trajectories) {
    for (auto at = t.observations.begin(); at != t.observations.end(); at += size_, ++row) {
      if (row * sampled / steps >= taken) {
        references_.insert(references_.end(), at, at + size_);
        ++taken;
      }
      // reservoir sampling (Vitter 1985, algorithm R)
      const uint64_t draw = base::SeedOf(seed_, base::Draw::kReservoir, seen_);
      const int64_t place = seen_ < kSample ? seen_ : static_cast<int64_t>(draw % (seen_ + 1));
      ++seen_;
      if (place >= kSample) continue;
      if (place * size_ == static_cast<int64_t>(kept_.size())) kept_.resize(kept_.size() + size_);
      std::copy(at, at + size_, kept_.begin() + place * size_);
    }
  }
}

std::vector<float> Novelty::Normalized(const std::vector<float>& observations) const {
  const std::vector<float> mean = normalizer_.Mean(), deviation = normalizer_.StandardDeviation();
  std::vector<float> normalized(observations.size());
  for (size_t i = 0; i < observations.size(); ++i) {
    const size_t at = i % size_;
    normalized[i] = std::clamp((observations[i] - mean[at]) / deviation[at], -kBound, kBound);
  }
  return normalized;
}

std::vector<float> Novelty::Score(const experience::Trajectory& trajectory) const {
  std::vector<float> rewards(trajectory.steps, 0);
  const int64_t count = static_cast<int64_t>(references_.size()) / size_;
  if (count <= kNeighbour) return rewards;
  torch::NoGradGuard no_grad;
  const torch::Tensor references = ToTorch(Normalized(references_), {count, size_});
  const torch::Tensor norms = references.square().sum(1).unsqueeze(0);
  const torch::Tensor transposed = references.t().contiguous();
  const torch::Tensor rows =
      ToTorch(Normalized(trajectory.observations), {trajectory.steps, size_});
  for (int64_t first = 0; first < trajectory.steps; first += kBlock) {
    const torch::Tensor block =
        rows.narrow(0, first, std::min<int64_t>(kBlock, trajectory.steps - first));
    // ‖x − y‖² − ‖x‖² = ‖y‖² − 2 x·y
    const torch::Tensor distances =
        torch::addmm(norms, block, transposed, /*beta=*/1, /*alpha=*/-2).contiguous();
    const torch::Tensor squares = block.square().sum(1).contiguous();
    for (int64_t i = 0; i < block.size(0); ++i) {
      const float square = squares.data_ptr<float>()[i];
      const Nearest nearest = NearestOf(distances.data_ptr<float>() + i * count, count);
      const bool itself = nearest[0] + square <= 1e-5f * (1 + square);
      const float distance = nearest[itself ? kNeighbour : kNeighbour - 1] + square;
      rewards[first + i] = std::log1p(std::sqrt(std::max(0.0f, distance)));
    }
  }
  return rewards;
}

void Novelty::Save(nn::Snapshot* state) const {
  state->metadata[kSeen] = std::to_string(seen_);
  if (seen_ == 0) return;
  state->tensors[kKept] = {{static_cast<int64_t>(kept_.size()) / size_, size_}, kept_};
  normalizer_.Save(kNormalizer, state);
}

bool Novelty::IsIn(const nn::Snapshot& state) { return state.metadata.count(kSeen) > 0; }

absl::Status Novelty::Load(const nn::Snapshot& state) {
  ASSIGN_OR_RETURN(const int64_t seen, state.Integer(kSeen));
  if (seen == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const nn::Tensor* kept, state.Find(kKept, {std::min(seen, kSample), size_}));
  RETURN_IF_ERROR(normalizer_.Load(kNormalizer, state));
  kept_ = kept->values;
  seen_ = seen;
  return absl::OkStatus();
}

}  // namespace backflip::learn
