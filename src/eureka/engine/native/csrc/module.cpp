// The extension as Python sees it. Shapes are checked here; behind this border they are taken as true.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "decoder.h"
#include "encoder.h"

namespace py = pybind11;
using namespace eureka;

namespace {

using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Ids = py::array_t<int64_t, py::array::c_style | py::array::forcecast>;
using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;
using Bytes = py::array_t<uint8_t, py::array::c_style | py::array::forcecast>;

void require(bool is_true, const char* message) {
  if (!is_true) throw py::value_error(message);
}

void require_shape(const py::array& array, std::initializer_list<int64_t> shape, const char* message) {
  require(array.ndim() == static_cast<int64_t>(shape.size()), message);
  int64_t axis = 0;
  for (const int64_t size : shape) require(array.shape(axis++) == size, message);
}

void require_below(const Ids& ids, int64_t limit, const char* message) {
  for (int64_t i = 0; i < ids.size(); ++i) require(ids.data()[i] >= 0 && ids.data()[i] < limit, message);
}

Type type_named(const std::string& name) {
  if (name == "float32") return Type::f32;
  if (name == "bfloat16") return Type::bf16;
  if (name == "int8") return Type::i8;
  throw py::value_error("type must be float32, bfloat16 or int8");
}

const Kernels* kernels_named(const std::string& name) {
  const Kernels* kernels = choose_kernels(name.c_str());
  if (!kernels) throw py::value_error("no such kernels, or this processor cannot run them: " + name);
  return kernels;
}

DecoderShape decoder_shape(const py::dict& of) {
  const auto number = [&](const char* name) { return of[name].cast<int64_t>(); };
  return {number("width"),    number("layers"), number("heads"),      number("kv_heads"), number("head_dim"),
          number("inner"),    number("vocabulary"), number("context"), number("slots"),    of["eps"].cast<float>()};
}

EncoderShape encoder_shape(const py::dict& of) {
  const auto number = [&](const char* name) { return of[name].cast<int64_t>(); };
  return {number("mels"), number("width"), number("layers"), number("heads"), number("inner"), number("positions")};
}

class PyDecoder {
 public:
  PyDecoder(const py::dict& shape, const std::string& type, const std::string& cache_type, const Floats& cos,
            const Floats& sin, const std::string& kernels)
      : shape_(decoder_shape(shape)) {
    require(cache_type != "int8", "keys and values are float32 or bfloat16");
    require_shape(cos, {shape_.context, shape_.head_dim / 2}, "cos must be (context, head_dim / 2)");
    require_shape(sin, {shape_.context, shape_.head_dim / 2}, "sin must be (context, head_dim / 2)");
    decoder_ = std::make_unique<Decoder>(kernels_named(kernels), shape_, type_named(type), type_named(cache_type),
                                         cos.data(), sin.data());
  }

  void set_linear(int64_t layer, const std::string& name, const Floats& weight) {
    const int64_t q = shape_.heads * shape_.head_dim, kv = shape_.kv_heads * shape_.head_dim;
    require(layer >= 0 && layer < shape_.layers, "there is no such layer");
    if (name == "qkv") require_shape(weight, {q + 2 * kv, shape_.width}, "qkv has another shape");
    else if (name == "o") require_shape(weight, {shape_.width, q}, "o has another shape");
    else if (name == "gate_up") require_shape(weight, {2 * shape_.inner, shape_.width}, "gate_up has another shape");
    else if (name == "down") require_shape(weight, {shape_.width, shape_.inner}, "down has another shape");
    else throw py::value_error("there is no linear " + name);
    decoder_->set_linear(layer, name, weight.data(), weight.shape(0), weight.shape(1));
  }

  void set_norm(int64_t layer, const std::string& name, const Floats& weight) {
    const bool is_head = name == "queries" || name == "keys";
    require(is_head || name == "before" || name == "after", "there is no such norm");
    require(layer >= 0 && layer < shape_.layers, "there is no such layer");
    require_shape(weight, {is_head ? shape_.head_dim : shape_.width}, "a norm has another shape");
    decoder_->set_norm(layer, name, weight.data(), weight.size());
  }

  void set_ends(const Floats& table, const Floats& head, const Floats& last_norm) {
    require_shape(table, {shape_.vocabulary, shape_.width}, "the table has another shape");
    require_shape(head, {shape_.vocabulary, shape_.width}, "the head has another shape");
    require_shape(last_norm, {shape_.width}, "the last norm has another shape");
    decoder_->set_table(table.data());
    decoder_->set_head(head.data(), last_norm.data());
  }

  Floats run(const Floats& embeds, const Ids& slots, const Ids& places, const Ids& wanted) {
    const int64_t n = slots.size();
    require_shape(embeds, {n, shape_.width}, "embeds must be (n, width)");
    check_rows(n, slots, places);
    require_below(wanted, n, "wanted names rows that there are not");
    Floats logits({wanted.size(), py::ssize_t(shape_.vocabulary)});
    float* out = logits.mutable_data();
    py::gil_scoped_release unlocked;
    decoder_->run(n, embeds.data(), slots.data(), places.data(), wanted.size(), wanted.data(), out);
    return logits;
  }

  py::tuple generate(const Ids& slots, const Ids& tokens, const Ids& places, int64_t steps, int64_t end,
                     const Floats& temperatures, const Ids& top_k, const Doubles& draws) {
    const int64_t n = slots.size();
    check_rows(n, slots, places);
    require_shape(tokens, {n}, "tokens must be (n,)");
    require_below(tokens, shape_.vocabulary, "a token is not in the vocabulary");
    for (int64_t r = 0; r < n; ++r) require(places.data()[r] + steps <= shape_.context, "the context is too short");
    require_shape(temperatures, {n}, "temperatures must be (n,)");
    require_shape(top_k, {n}, "top_k must be (n,)");
    require_shape(draws, {n, steps}, "draws must be (n, steps)");
    std::vector<Choice> choices;
    for (int64_t r = 0; r < n; ++r) choices.push_back({temperatures.data()[r], top_k.data()[r]});
    Ids ids({py::ssize_t(n), py::ssize_t(steps)}), counts(n);
    int64_t *id_data = ids.mutable_data(), *count_data = counts.mutable_data();
    {
      py::gil_scoped_release unlocked;
      decoder_->generate(n, slots.data(), tokens.data(), places.data(), steps, end, choices.data(), draws.data(),
                         id_data, count_data);
    }
    return py::make_tuple(ids, counts);
  }

  Bytes save(int64_t slot, int64_t tokens) const {
    check_span(slot, tokens);
    Bytes saved(decoder_->saved_bytes(tokens));
    decoder_->save(slot, tokens, saved.mutable_data());
    return saved;
  }

  void load(int64_t slot, int64_t tokens, const Bytes& saved) {
    check_span(slot, tokens);
    require(saved.size() == decoder_->saved_bytes(tokens), "these are not the bytes of so many tokens");
    decoder_->load(slot, tokens, saved.data());
  }

 private:
  void check_rows(int64_t n, const Ids& slots, const Ids& places) const {
    require_shape(slots, {n}, "slots must be (n,)");
    require_shape(places, {n}, "places must be (n,)");
    require_below(slots, shape_.slots, "there is no such slot");
    require_below(places, shape_.context, "a place is beyond the context");
  }
  void check_span(int64_t slot, int64_t tokens) const {
    require(slot >= 0 && slot < shape_.slots && tokens >= 0 && tokens <= shape_.context, "no such slot or place");
  }

  DecoderShape shape_;
  std::unique_ptr<Decoder> decoder_;
};

class PyEncoder {
 public:
  PyEncoder(const py::dict& shape, const std::string& type, const Floats& positions, const std::string& kernels)
      : shape_(encoder_shape(shape)) {
    require(type != "int8", "the encoder is float32 or bfloat16");
    require_shape(positions, {shape_.positions, shape_.width}, "positions must be (positions, width)");
    encoder_ = std::make_unique<Encoder>(kernels_named(kernels), shape_, type_named(type), positions.data());
  }

  void set_linear(int64_t layer, const std::string& name, const Floats& weight, const Floats& bias) {
    const int64_t width = shape_.width;
    if (name == "conv1") require_shape(weight, {width, 3 * shape_.mels}, "conv1 has another shape");
    else if (name == "conv2") require_shape(weight, {width, 3 * width}, "conv2 has another shape");
    else if (name == "qkv") require_shape(weight, {3 * width, width}, "qkv has another shape");
    else if (name == "out") require_shape(weight, {width, width}, "out has another shape");
    else if (name == "fc1") require_shape(weight, {shape_.inner, width}, "fc1 has another shape");
    else if (name == "fc2") require_shape(weight, {width, shape_.inner}, "fc2 has another shape");
    else throw py::value_error("there is no linear " + name);
    require_shape(bias, {weight.shape(0)}, "a bias has another shape");
    encoder_->set_linear(layer, name, weight.data(), bias.data(), weight.shape(0), weight.shape(1));
  }

  void set_norm(int64_t layer, const std::string& name, const Floats& weight, const Floats& bias) {
    require(name == "before" || name == "after" || name == "last", "there is no such norm");
    require_shape(weight, {shape_.width}, "a norm has another shape");
    require_shape(bias, {shape_.width}, "a norm has another shape");
    encoder_->set_norm(layer, name, weight.data(), bias.data());
  }

  Floats encode(const Floats& log_mel) const {
    require(log_mel.ndim() == 2 && log_mel.shape(0) == shape_.mels, "log_mel must be (mels, frames)");
    const int64_t frames = log_mel.shape(1);
    require(frames > 0 && frames % 2 == 0 && frames / 2 <= shape_.positions, "no such number of frames");
    Floats out({py::ssize_t(frames / 2), py::ssize_t(shape_.width)});
    float* data = out.mutable_data();
    py::gil_scoped_release unlocked;
    encoder_->encode(log_mel.data(), frames, data);
    return out;
  }

 private:
  EncoderShape shape_;
  std::unique_ptr<Encoder> encoder_;
};

// A product as the kernels make it, for tests: x (n, inner) times weight (outputs, inner), plus a bias.
Floats multiply(const Floats& x, const Floats& weight, const Floats& bias, const std::string& type,
                const std::string& kernels) {
  require(x.ndim() == 2 && weight.ndim() == 2 && x.shape(1) == weight.shape(1), "shapes do not fit");
  require_shape(bias, {weight.shape(0)}, "the bias has another shape");
  const Kernels* table = kernels_named(kernels);
  const PackedLinear layer(type_named(type), weight.data(), weight.shape(0), weight.shape(1), bias.data());
  const int64_t n = x.shape(0), outputs = weight.shape(0);
  Converted converted;
  Buffer<float> y(n * layer.outputs());
  const Rows rows =
      converted.rows(*table, layer.type(), x.data(), x.shape(1), n, x.shape(1), layer.inner());
  table->multiply(layer.view(), rows, y.data(), layer.outputs(), false);
  Floats out({py::ssize_t(n), py::ssize_t(outputs)});
  for (int64_t r = 0; r < n; ++r)
    std::copy_n(y.data() + r * layer.outputs(), outputs, out.mutable_data() + r * outputs);
  return out;
}

// One function of rows by its name, for tests; x (n,), n a multiple of 16.
Floats apply(const std::string& name, const Floats& x, int64_t length, float scale, const std::string& kernels) {
  require(x.ndim() == 1 && x.size() % kLanes == 0 && length > 0 && length <= x.size(), "x must be (16 * k,)");
  const Kernels* table = kernels_named(kernels);
  Floats out(x.size());
  std::copy_n(x.data(), x.size(), out.mutable_data());
  const std::vector<float> ones(x.size(), 1.0f), halves(x.size(), 0.5f);
  if (name == "softmax") table->softmax(out.mutable_data(), length, x.size(), scale);
  else if (name == "gelu") table->gelu(out.mutable_data(), x.size());
  else if (name == "silu") table->gated_silu(x.data(), ones.data(), x.size(), out.mutable_data());
  else if (name == "rms_norm") table->rms_norm(x.data(), ones.data(), scale, x.size(), out.mutable_data());
  else if (name == "layer_norm")
    table->layer_norm(x.data(), ones.data(), halves.data(), scale, x.size(), out.mutable_data());
  else throw py::value_error("there is no function " + name);
  return out;
}

py::list runnable_kernels() {
  py::list names;
  for (const char* name : {"avx512", "avx2", "portable"})
    if (choose_kernels(name)) names.append(name);
  return names;
}

}  // namespace

PYBIND11_MODULE(_kernels, m) {
  m.doc() = "Decoder and encoder on hand-written kernels; see eureka.engine.native.";
  m.def("runnable_kernels", &runnable_kernels);
  m.def("multiply", &multiply);
  m.def("apply", &apply);
  py::class_<PyDecoder>(m, "Decoder")
      .def(py::init<const py::dict&, const std::string&, const std::string&, const Floats&, const Floats&,
                    const std::string&>())
      .def("set_linear", &PyDecoder::set_linear)
      .def("set_norm", &PyDecoder::set_norm)
      .def("set_ends", &PyDecoder::set_ends)
      .def("run", &PyDecoder::run)
      .def("generate", &PyDecoder::generate)
      .def("save", &PyDecoder::save)
      .def("load", &PyDecoder::load);
  py::class_<PyEncoder>(m, "Encoder")
      .def(py::init<const py::dict&, const std::string&, const Floats&, const std::string&>())
      .def("set_linear", &PyEncoder::set_linear)
      .def("set_norm", &PyEncoder::set_norm)
      .def("encode", &PyEncoder::encode);
}
