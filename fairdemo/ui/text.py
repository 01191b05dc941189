"""Every word of the page that is ours, by language. Components take `label("key")`, HTML made here takes
`say(language, "key")`."""

import gradio as gr

# English and Spanish hold the same keys and the same {values}; a test checks it.
WORDS: dict[str, dict[str, str]] = {
    "en": {
        "intro": (
            "# fairdemo\nAsk an image model for *a doctor* and look at who it draws. Left, the model as it"
            " is; right, the same model **from the same noise** with adapters mixed for the distribution that"
            " you choose. A classifier labels every face; the bars count what it says."
        ),
        "tab_compare": "Compare",
        "tab_saved": "Open a saved one",
        "tab_about": "About",
        "prompt": "Prompt",
        "prompt_info": "Who to draw, in English",
        "profession": "Profession",
        "attribute": "or an attribute",
        "surprise": "Surprise me",
        "number": "Number of pairs",
        "seed": "Seed",
        "roll": "Roll",
        "advanced": "Advanced",
        "profile": "Model",
        "steps": "Steps",
        "guidance": "Guidance",
        "aligned_note": (
            "One adapter draws every image: the distribution is in its weights (arXiv 2311.07604), and the"
            " sliders only say what the result is measured against."
        ),
        "varied_note": (
            "One adapter for each race, trained on faces that vary widely (SDXL-Div, arXiv 2402.01002). Of"
            " the sliders only race decides who is drawn; look at how unlike the faces of one race are."
        ),
        "method": "Method",
        "dependence": "How wished attributes go together",
        "steer": "Steer",
        "steer_info": "What was counted so far decides what is drawn next",
        "wanted": "Wanted distribution",
        "draw": "Draw",
        "stop": "Stop",
        "ready": "Ready. 16 pairs take about ten seconds on a laptop.",
        "drawing": "Drawing …",
        "drawing_left": "Drawing, about {seconds:.0f} s left",
        "so_far": "{done} of {n} pairs drawn …",
        "done": "{n} pairs in {seconds:.1f} s.",
        "redrawn": "{k} of {n} pairs redrawn in {seconds:.1f} s.",
        "back": "Shown again from this visit's history.",
        "stopped": "Stopped after {done} of {n} pairs.",
        "loading": "Loading the model …",
        "not_drawn": "Nothing could be drawn: {error}.",
        "failed": "The model failed after {done} of {n} pairs; what was drawn is kept. {error}",
        "check_input": "Please check the input",
        "baseline": "Baseline",
        "debiased": "Debiased",
        "baseline_what": "the model as it is",
        "debiased_what": "same noise, with adapters",
        "shown": "Bars and numbers show",
        "observed": "what was observed",
        "corrected": "corrected for the classifier's errors",
        "women": "Women",
        "wanted_share": "wanted {share:.0%}",
        "before": "before",
        "after": "after",
        "of": "{count} of {n}, {share:.0%} ({low:.0%} to {high:.0%})",
        "corrected_of": (
            "about {share:.0%} ({low:.0%} to {high:.0%}) once the classifier's errors are taken out"
        ),
        "bias": "bias(P) {before:.2f} before, {after:.2f} after",
        "distance": "distance to the target {before:.2f} before, {after:.2f} after",
        "enough": "{n} pairs are enough to say that this changed (p {p}).",
        "not_enough": "{n} pairs are too few to say that this changed (p {p}).",
        "no_face": "No face found: {before} before, {after} after, of {n} pairs.",
        "kept": "Still shows a {subject}: {before} before, {after} after, of {n}.",
        "know": (
            "Among {n} faces a share near one half is known to about ± {half:.0f} points; ± 10 points need"
            " {need} faces."
        ),
        "labels": "Labels are as perceived by the classifier; every person is generated.",
        "cells": "Race and gender together",
        "image": "Image {slot}",
        "perceived": "perceived as {race}, {gender}, {age}",
        "none_found": "no face found",
        "several": "{k} faces; the largest counts",
        "adapter": "adapter: {name}",
        "as_is": "baseline model",
        "origin_own": (
            "Your own shares, from the sliders. Attributes without a tick stay as the baseline has them."
        ),
        "own": "My own",
        "workforce": "As in the US workforce",
        "no_statistic": (
            "There is no US labour statistic for this prompt. Name one profession, such as doctor, nurse or"
            " pilot."
        ),
        "nothing_steered": "Nothing is steered: both walls are the model as it is.",
        "source": "Source",
        "expected": "Expected of the debiased wall, as perceived by the classifier",
        "reachable": "The adapters can reach this.",
        "unreachable": "Out of reach for these adapters: {gaps}.",
        "above": "{name} {gap:.0%} above the wish",
        "below": "{name} {gap:.0%} below the wish",
        "named": "The prompt itself names {what}; the mix leaves that alone.",
        "mix": "Planned mix of adapters",
        "copy_link": "Copy link",
        "copied": "Copied",
        "download": "Download (zip)",
        "history": "This visit's comparisons",
        "open_file": "A comparison downloaded from fairdemo (zip)",
        "open_info": "Opens without a model. Nothing is sent anywhere but to this app.",
        "bad_link": "The link holds {what}, which this app doesn't know; it was left out.",
        "limits": (
            "The embedded model draws **characters made by code, not people**: a tiny SDXL trained by this"
            " project on portraits whose truth is known. It exercises the instrument and is no claim about"
            " anyone. Other models draw photographs of people who don't exist. Race, gender and age are *as"
            " perceived by a classifier*, which errs; a binary gender and six races leave people out."
        ),
        "info_interval": (
            "The range in brackets is a 95 % interval: shares that such a count is compatible with. It"
            " inverts an exact binomial test (Sterne 1954), because few faces say little."
        ),
        "info_bias": (
            "bias(P) is the mean difference between the shares of any two classes: 0 is balance, and for two"
            " classes 1 is all of one. From arXiv 2311.07604, section 5.1."
        ),
        "info_distance": (
            "The share of faces that would have to change class to meet the target (total variation). 0 is"
            " exact."
        ),
        "info_corrected": (
            "The classifier errs, and how often is known from faces whose truth is known; the estimate takes"
            " that out (Saerens and others 2002). It holds if it errs here as it did there."
        ),
        "info_p": (
            "How likely so large a change between twins is by chance alone; below 0.05 it is called enough."
            " Permutation test, pairs share their noise."
        ),
        "info_kept": (
            "A small network that reads profession from clothes and background, trained by this project on"
            " drawn people of every race and gender. It tells whether debiasing kept the prompt's meaning."
        ),
        "tour_1": "Type who to draw, or pick a profession. Press Draw: each pair starts from the same noise.",
        "tour_2": (
            "Say which distribution is right, or keep uniform. The bar shows the adapters that will be mixed"
            " for it."
        ),
        "tour_3": (
            "Boxes and labels are a classifier's opinion with its confidence. Point at a face to find its"
            " twin; click it to see both large."
        ),
        "tour_4": (
            "Counts come with intervals. Click a bar to light up its faces. Move a slider: only what must"
            " change is drawn again."
        ),
        "race": "Race",
        "gender": "Gender",
        "age": "Age",
        "target": "target",
        "undo": "Undo",
        "lock": "Hold this share while others move",
        "chart": "{attribute}, as perceived by the classifier",
        "chart_corrected": "{attribute}, as perceived by the classifier, corrected",
        "bar": (
            "%{{customdata[0]}} of %{{customdata[1]}} faces, %{{y:.0%}} (95 % interval %{{customdata[2]:.0%}}"
            " to %{{customdata[3]:.0%}})"
        ),
        "bar_corrected": (
            "%{{customdata[0]}} of %{{customdata[1]}} faces, corrected %{{y:.0%}} (95 % interval"
            " %{{customdata[2]:.0%}} to %{{customdata[3]:.0%}})"
        ),
        "about_labels": (
            "### What the labels mean\nA label is what a classifier reads off a picture: race, gender and age"
            " **as perceived by the classifier**. It says nothing about who somebody is. Six races merge"
            " many, two genders leave people out, and the classifier errs; how often it errs on faces whose"
            " truth is known is counted, and the corrected shares take it out. Every person on this page is"
            " generated."
        ),
        "about_world": (
            "### The embedded world\nThe default model is a genuine SDXL pipeline in a tiny configuration,"
            " trained by this project on characters that its own code draws. Its bias was put in on purpose"
            " and in writing, so that what it learned can be compared with what it was shown. It is no"
            " evidence about any other model or about people."
        ),
        "about_papers": (
            "### Papers\n- AlDahoul, Rahwan and Zaki, *AI-generated faces influence gender stereotypes and"
            " racial homogenization*, [arXiv 2402.01002](https://arxiv.org/abs/2402.01002): the classifier"
            " chain, the audit, twelve race and gender adapters (SDXL-Inc).\n- Shen and others, *Finetuning"
            " Text-to-Image Diffusion Models for Fairness*, [arXiv"
            " 2311.07604](https://arxiv.org/abs/2311.07604): bias(P), any target distribution."
        ),
        "about_licenses": (
            "### Licenses\nCode, drawings and embedded weights: Apache-2.0. Nothing that you type or draw"
            " leaves the machine that runs this app."
        ),
        "card": "The embedded model's card, with every measured number (in English)",
        "adapters": "Adapters",
        "pack_note": (
            "A pack: its images were drawn before, up to {seeds} pairs a prompt. It holds {prompts}."
        ),
        "real_note": "Draws with {model}. The first drawing loads it.",
        "no_gpu": (
            "There is no GPU here: {model} takes minutes an image and several GB. A pack shows its images at"
            " once."
        ),
        "what_is_this": "What is this?",
        "next": "Next",
        "skip": "Skip",
        "start": "Start",
        "close": "Close",
        "tour": "Show the tour again",
    },
    "es": {
        "intro": (
            "# fairdemo\nPide a un modelo de imágenes *un médico* y mira a quién dibuja. A la izquierda, el"
            " modelo tal cual; a la derecha, el mismo modelo **con el mismo ruido** y adaptadores mezclados"
            " para la distribución que elijas. Un clasificador etiqueta cada cara; las barras cuentan lo que"
            " dice."
        ),
        "tab_compare": "Comparar",
        "tab_saved": "Abrir una guardada",
        "tab_about": "Acerca de",
        "prompt": "Petición",
        "prompt_info": "A quién dibujar, en inglés",
        "profession": "Profesión",
        "attribute": "o un atributo",
        "surprise": "Sorpréndeme",
        "number": "Número de parejas",
        "seed": "Semilla",
        "roll": "Al azar",
        "advanced": "Avanzado",
        "profile": "Modelo",
        "steps": "Pasos",
        "guidance": "Guía",
        "aligned_note": (
            "Un solo adaptador dibuja todas las imágenes: la distribución está en sus pesos (arXiv"
            " 2311.07604), y los controles solo dicen con qué se compara el resultado."
        ),
        "varied_note": (
            "Un adaptador por raza, entrenado con caras muy variadas (SDXL-Div, arXiv 2402.01002). De los"
            " controles solo la raza decide a quién se dibuja; fíjate en lo distintas que son las caras de"
            " una misma raza."
        ),
        "method": "Método",
        "dependence": "Cómo van juntos los atributos deseados",
        "steer": "Corregir el rumbo",
        "steer_info": "Lo contado hasta ahora decide qué se dibuja después",
        "wanted": "Distribución deseada",
        "draw": "Dibujar",
        "stop": "Parar",
        "ready": "Listo. 16 parejas tardan unos diez segundos en un portátil.",
        "drawing": "Dibujando …",
        "drawing_left": "Dibujando, quedan unos {seconds:.0f} s",
        "so_far": "{done} de {n} parejas dibujadas …",
        "done": "{n} parejas en {seconds:.1f} s.",
        "redrawn": "{k} de {n} parejas dibujadas de nuevo en {seconds:.1f} s.",
        "back": "Recuperada de esta visita.",
        "stopped": "Parado tras {done} de {n} parejas.",
        "loading": "Cargando el modelo …",
        "not_drawn": "No se pudo dibujar nada: {error}.",
        "failed": "El modelo falló tras {done} de {n} parejas; lo dibujado se conserva. {error}",
        "check_input": "Revisa los datos",
        "baseline": "Original",
        "debiased": "Corregido",
        "baseline_what": "el modelo tal cual",
        "debiased_what": "el mismo ruido, con adaptadores",
        "shown": "Las barras muestran",
        "observed": "lo observado",
        "corrected": "lo corregido por los errores del clasificador",
        "women": "Mujeres",
        "wanted_share": "deseado {share:.0%}",
        "before": "antes",
        "after": "después",
        "of": "{count} de {n}, {share:.0%} (de {low:.0%} a {high:.0%})",
        "corrected_of": "cerca del {share:.0%} (de {low:.0%} a {high:.0%}) sin los errores del clasificador",
        "bias": "bias(P) {before:.2f} antes, {after:.2f} después",
        "distance": "distancia al objetivo {before:.2f} antes, {after:.2f} después",
        "enough": "{n} parejas bastan para decir que esto cambió (p {p}).",
        "not_enough": "{n} parejas no bastan para decir que esto cambió (p {p}).",
        "no_face": "Sin cara detectada: {before} antes, {after} después, de {n} parejas.",
        "kept": "Sigue mostrando la profesión ({subject}): {before} antes, {after} después, de {n}.",
        "know": (
            "Con {n} caras, una proporción cercana a la mitad se conoce con unos ± {half:.0f} puntos; ± 10"
            " puntos exigen {need} caras."
        ),
        "labels": "Las etiquetas son las que percibe el clasificador; todas las personas son generadas.",
        "cells": "Raza y género a la vez",
        "image": "Imagen {slot}",
        "perceived": "percibida como {race}, {gender}, {age}",
        "none_found": "sin cara detectada",
        "several": "{k} caras; cuenta la mayor",
        "adapter": "adaptador: {name}",
        "as_is": "modelo original",
        "origin_own": "Tus propias proporciones. Los atributos sin marcar quedan como en el original.",
        "own": "La mía",
        "workforce": "Como en la población activa de EE. UU.",
        "no_statistic": (
            "No hay estadística laboral de EE. UU. para esta petición. Nombra una profesión, como doctor,"
            " nurse o pilot."
        ),
        "nothing_steered": "Nada se corrige: los dos muros son el modelo tal cual.",
        "source": "Fuente",
        "expected": "Lo que se espera del muro corregido, según lo percibe el clasificador",
        "reachable": "Los adaptadores pueden lograrlo.",
        "unreachable": "Fuera del alcance de estos adaptadores: {gaps}.",
        "above": "{name} {gap:.0%} por encima de lo deseado",
        "below": "{name} {gap:.0%} por debajo de lo deseado",
        "named": "La petición ya nombra {what}; la mezcla no lo toca.",
        "mix": "Mezcla prevista de adaptadores",
        "copy_link": "Copiar enlace",
        "copied": "Copiado",
        "download": "Descargar (zip)",
        "history": "Comparaciones de esta visita",
        "open_file": "Una comparación descargada de fairdemo (zip)",
        "open_info": "Se abre sin modelo. Nada se envía más que a esta aplicación.",
        "bad_link": "El enlace contiene {what}, que esta aplicación no conoce; se ha omitido.",
        "limits": (
            "El modelo incluido dibuja **personajes hechos por código, no personas**: un SDXL diminuto"
            " entrenado por este proyecto con retratos cuya verdad se conoce. Ejercita el instrumento y no"
            " afirma nada de nadie. Otros modelos dibujan fotografías de personas que no existen. Raza,"
            " género y edad son *los que percibe un clasificador*, que se equivoca; un género binario y seis"
            " razas dejan gente fuera."
        ),
        "info_interval": (
            "El rango entre paréntesis es un intervalo del 95 %: las proporciones compatibles con ese"
            " recuento. Invierte una prueba binomial exacta (Sterne 1954), porque pocas caras dicen poco."
        ),
        "info_bias": (
            "bias(P) es la diferencia media entre las proporciones de dos clases cualesquiera: 0 es"
            " equilibrio y, con dos clases, 1 es todo de una. De arXiv 2311.07604, sección 5.1."
        ),
        "info_distance": (
            "La proporción de caras que tendría que cambiar de clase para cumplir el objetivo (variación"
            " total). 0 es exacto."
        ),
        "info_corrected": (
            "El clasificador se equivoca, y cuánto se sabe por caras cuya verdad se conoce; la estimación lo"
            " descuenta (Saerens y otros 2002). Vale si aquí se equivoca como allí."
        ),
        "info_p": (
            "Cuán probable es un cambio tan grande entre gemelas solo por azar; por debajo de 0,05 se"
            " considera suficiente. Prueba de permutación; las parejas comparten el ruido."
        ),
        "info_kept": (
            "Una red pequeña que lee la profesión en la ropa y el fondo, entrenada por este proyecto con"
            " personas dibujadas de toda raza y género. Dice si la corrección conservó el sentido de la"
            " petición."
        ),
        "tour_1": (
            "Escribe a quién dibujar o elige una profesión. Pulsa Dibujar: cada pareja parte del mismo ruido."
        ),
        "tour_2": (
            "Di qué distribución es justa, o deja la uniforme. La barra muestra los adaptadores que se"
            " mezclarán."
        ),
        "tour_3": (
            "Recuadros y etiquetas son la opinión de un clasificador, con su confianza. Señala una cara para"
            " ver su gemela; púlsala para verlas en grande."
        ),
        "tour_4": (
            "Los recuentos llevan intervalos. Pulsa una barra para iluminar sus caras. Mueve un deslizador:"
            " solo se redibuja lo que debe cambiar."
        ),
        "race": "Raza",
        "gender": "Género",
        "age": "Edad",
        "target": "objetivo",
        "undo": "Deshacer",
        "lock": "Mantener esta proporción mientras otras se mueven",
        "chart": "{attribute}, según lo percibe el clasificador",
        "chart_corrected": "{attribute}, según lo percibe el clasificador, corregida",
        "bar": (
            "%{{customdata[0]}} de %{{customdata[1]}} caras, %{{y:.0%}} (intervalo del 95 %:"
            " %{{customdata[2]:.0%}} a %{{customdata[3]:.0%}})"
        ),
        "bar_corrected": (
            "%{{customdata[0]}} de %{{customdata[1]}} caras, %{{y:.0%}} tras corregir (intervalo del 95 %:"
            " %{{customdata[2]:.0%}} a %{{customdata[3]:.0%}})"
        ),
        "about_labels": (
            "### Qué significan las etiquetas\nUna etiqueta es lo que un clasificador lee en una imagen:"
            " raza, género y edad **según los percibe el clasificador**. No dice quién es nadie. Seis razas"
            " juntan a muchas, dos géneros dejan gente fuera y el clasificador se equivoca; se ha contado"
            " cuánto se equivoca con caras cuya verdad se conoce, y las proporciones corregidas lo"
            " descuentan. Todas las personas de esta página son generadas."
        ),
        "about_world": (
            "### El mundo incluido\nEl modelo por defecto es un SDXL auténtico en configuración diminuta,"
            " entrenado por este proyecto con personajes que dibuja su propio código. Su sesgo se puso a"
            " propósito y por escrito, para poder comparar lo aprendido con lo mostrado. No prueba nada sobre"
            " otros modelos ni sobre personas."
        ),
        "about_papers": (
            "### Artículos\n- AlDahoul, Rahwan y Zaki, *AI-generated faces influence gender stereotypes and"
            " racial homogenization*, [arXiv 2402.01002](https://arxiv.org/abs/2402.01002): la cadena del"
            " clasificador, la auditoría, doce adaptadores de raza y género (SDXL-Inc).\n- Shen y otros,"
            " *Finetuning Text-to-Image Diffusion Models for Fairness*, [arXiv"
            " 2311.07604](https://arxiv.org/abs/2311.07604): bias(P), cualquier distribución objetivo."
        ),
        "about_licenses": (
            "### Licencias\nCódigo, dibujos y pesos incluidos: Apache-2.0. Nada de lo que escribes o dibujas"
            " sale de la máquina que ejecuta esta aplicación."
        ),
        "card": "La ficha del modelo incluido, con cada número medido (en inglés)",
        "adapters": "Adaptadores",
        "pack_note": (
            "Un paquete: sus imágenes ya estaban dibujadas, hasta {seeds} parejas por petición. Contiene"
            " {prompts}."
        ),
        "real_note": "Dibuja con {model}. El primer dibujo lo carga.",
        "no_gpu": (
            "Aquí no hay GPU: {model} tarda minutos por imagen y ocupa varios GB. Un paquete muestra sus"
            " imágenes al instante."
        ),
        "what_is_this": "¿Qué es esto?",
        "next": "Siguiente",
        "skip": "Saltar",
        "start": "Empezar",
        "close": "Cerrar",
        "tour": "Ver otra vez la visita guiada",
    },
}
# Gradio has keys of its own, so ours carry a name.
I18N = gr.I18n(
    **{code: {f"fairdemo_{key}": text for key, text in words.items()} for code, words in WORDS.items()}
)


def label(key: str):
    """The words under a key, in the browser's language."""
    return I18N(f"fairdemo_{key}")


def language_of(request: gr.Request | None) -> str:
    """The first of the browser's languages that the page speaks, else English."""
    wanted = (request.headers.get("accept-language", "") if request else "").split(",")
    return next((code for code in (w.strip()[:2].lower() for w in wanted) if code in WORDS), "en")


def say(language: str, key: str, **values) -> str:
    return WORDS[language][key].format(**values)
